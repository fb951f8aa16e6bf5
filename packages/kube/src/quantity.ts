const MULTIPLIERS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/**
 * A quantity (`100m`, `1.5Gi`, `2e3`) in thousandths of its unit, rounded up: whole numbers, so that sums are exact.
 * @throws {Error} when it is none.
 */
export function thousandths(quantity: string | number): number {
  const text = String(quantity);
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkKMGTPE]i?)?)$/.exec(text);
  const multiplier = MULTIPLIERS[match?.[3] ?? ''];
  if (!match || multiplier === undefined) {
    throw new Error(`"${text}" is no quantity: write a number with a unit such as m, k, Mi or Gi`);
  }
  const value = Number(match[1]! + (match[2] ?? '')) * multiplier * 1000;
  // What is off a whole number by no more than the error of floating point is that number.
  const whole = Math.round(value);
  return Math.abs(value - whole) <= Math.abs(value) * 1e-12 ? whole : Math.ceil(value);
}
