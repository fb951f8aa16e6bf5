/** For so long describing may be behind what was done, in milliseconds. */
export const LAG = 60_000;
