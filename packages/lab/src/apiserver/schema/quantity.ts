/** Quantities: numbers with a unit (apimachinery `resource.Quantity`), `100m`, `1.5`, `64Mi`, `1e3`. */

const FORM = /^([+-]?)(\d+\.?\d*|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?$/;
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const DECIMAL = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'];
/** Decimal places that are kept: nano. */
const SCALE = 9;

export const QUANTITY_ERROR =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

type Form = 'binary' | 'decimal' | 'exponent';

/** In billionths, rounded up; undefined if it is no quantity. */
export function readQuantity(text: string): { readonly nano: bigint; readonly form: Form } | undefined {
  const match = FORM.exec(text);
  if (!match) return undefined;
  const [, sign, digits, suffix = ''] = match;
  const [whole = '', fraction = ''] = digits!.split('.');
  const exponent = /^[eE][+-]?\d/.test(suffix);
  const binary = exponent ? -1 : BINARY.indexOf(suffix);
  let value = BigInt(whole + fraction);
  let power = SCALE - fraction.length;
  if (suffix && binary > 0) value *= 1024n ** BigInt(binary);
  else if (exponent) power += Number(suffix.slice(1));
  else power += 3 * (DECIMAL.indexOf(suffix) - 3);
  if (power > 60) return undefined;
  if (power >= 0) value *= 10n ** BigInt(power);
  else {
    const unit = 10n ** BigInt(-power);
    value = (value + unit - 1n) / unit;
  }
  const form = suffix && binary > 0 ? 'binary' : exponent ? 'exponent' : 'decimal';
  return { nano: sign === '-' ? -value : value, form };
}

/** The number that a quantity is; NaN if it is none. For comparing use {@link compareQuantities}. */
export function parseQuantity(text: string): number {
  const parsed = readQuantity(text);
  return parsed ? Number(parsed.nano) / 1e9 : Number.NaN;
}

/** @returns less than zero when `a` is less. What is no quantity counts as zero. */
export function compareQuantities(a: string, b: string): number {
  const difference = (readQuantity(a)?.nano ?? 0n) - (readQuantity(b)?.nano ?? 0n);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** As Kubernetes writes it: no fraction, the largest unit that allows that. What is no quantity stays. */
export function canonicalQuantity(text: string): string {
  if (/^[1-9]\d{0,2}(?:m|[KMGTPE]i)?$/.test(text) || text === '0') return text;
  const parsed = readQuantity(text);
  if (!parsed) return text;
  const { nano, form } = parsed;
  if (nano === 0n) return '0';
  const one = 10n ** BigInt(SCALE);
  if (form === 'binary' && nano % one === 0n && (nano / one >= 1024n || nano / one <= -1024n)) {
    let value = nano / one;
    let unit = 0;
    for (; value % 1024n === 0n && unit < BINARY.length - 1; unit++) value /= 1024n;
    return `${value}${BINARY[unit]}`;
  }
  let value = nano;
  let unit = 0;
  for (; value % 1000n === 0n && unit < DECIMAL.length - 1; unit++) value /= 1000n;
  if (form === 'exponent') {
    const power = 3 * (unit - 3);
    return power === 0 ? `${value}` : `${value}e${power}`;
  }
  return `${value}${DECIMAL[unit]}`;
}
