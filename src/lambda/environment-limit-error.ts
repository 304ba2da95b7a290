// What is said of `maxPerEnvironment`, and to whom it is an error.

/** A limit that cannot be kept, or was reached. The pool makes its own error of it. */
export class EnvironmentLimitError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(`${message} See ${code}.`);
    this.name = 'EnvironmentLimitError';
    this.code = code;
  }
}

/** The error of a platform on which threads cannot be counted together. */
export function unsupportedError(limit: number): EnvironmentLimitError {
  return new EnvironmentLimitError(
    'ERR_POOL_INVALID_OPTION',
    `maxPerEnvironment (${limit}) cannot be kept over several threads on ${process.platform}, only on Linux, where Lambda runs: leave it out (THAWPOOL_MAX_PER_ENVIRONMENT) and set max to each thread's share.`,
  );
}

/** The phase of a creation that waits, and why. */
export function waitingFor(limit: number, here: number): [phase: string, why: EnvironmentLimitError] {
  const elsewhere = `${here} held here, ${limit - here} by other threads`;
  return [
    `maxPerEnvironment ${limit} reached, ${elsewhere}`,
    new EnvironmentLimitError(
      'ERR_POOL_ENVIRONMENT_LIMIT',
      `All ${limit} connections that maxPerEnvironment allows to this process are taken (${elsewhere}). Release sooner, run fewer at once (AWS_LAMBDA_MAX_CONCURRENCY), or raise THAWPOOL_MAX_PER_ENVIRONMENT.`,
    ),
  ];
}
