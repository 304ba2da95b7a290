// When an invocation's work must be over. Pure: numbers in, a number out.

/**
 * The wall-clock time, in milliseconds since 1970, beyond which nothing may be waited for: the end of the invocation
 * less what is kept back to cancel, roll back and close.
 *
 * @param remainingMillis - what `context.getRemainingTimeInMillis()` says; nothing where there is no such limit
 * @returns nothing where there is no limit
 */
export function invocationDeadline(facts: {
  readonly remainingMillis: number | undefined;
  readonly now: number;
  readonly reserveMillis: number;
}): number | undefined {
  const { remainingMillis = Number.NaN, now, reserveMillis } = facts;
  // Some test doubles of a context answer NaN or a string; a limit made of that would refuse everything.
  if (!Number.isFinite(remainingMillis)) return undefined;
  // A function shorter than the reserve keeps half of its time to work in.
  return now + remainingMillis - Math.min(reserveMillis, remainingMillis / 2);
}
