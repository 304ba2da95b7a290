/** What an invocation came to, in the shape and the words that Lambda gives its callers. */

/** An error as Lambda reports it. */
export interface FunctionError {
  readonly errorType: string;
  readonly errorMessage: string;
  readonly trace?: readonly string[];
}

/** A streamed response: its body in the pieces in which it came. */
export interface StreamedBody {
  readonly contentType: string;
  readonly chunks: readonly Buffer[];
}

/** The result of one invocation. */
export interface InvocationResult {
  readonly ok: boolean;
  /**
   * `ok`; `error`: the handler failed; `timeout`: it passed its deadline and the sandbox was killed; `exit`: the process
   * ended before it answered; `init`: the handler could not be loaded.
   */
  readonly outcome: 'ok' | 'error' | 'timeout' | 'exit' | 'init';
  /** What the handler returned; the text of a streamed response. */
  readonly payload?: unknown;
  readonly error?: FunctionError;
  readonly stream?: StreamedBody;
  readonly requestId: string;
  /** From handing over the event, or from the thaw before it, to the complete answer. */
  readonly durationMillis: number;
}

/** Words it as Lambda does when a function passes its timeout. */
export function timeoutError(requestId: string, timeoutMillis: number): FunctionError {
  const seconds = (timeoutMillis / 1000).toFixed(2);
  return {
    errorType: 'Sandbox.Timedout',
    errorMessage: `RequestId: ${requestId} Error: Task timed out after ${seconds} seconds`,
  };
}

/** Words it as Lambda does when the process ends during an invocation. */
export function exitError(requestId: string, code: number | null, signal: NodeJS.Signals | null): FunctionError {
  const how = signal
    ? `Runtime exited with error: signal: ${signal}`
    : code === 0
      ? 'Runtime exited without providing a reason'
      : `Runtime exited with error: exit status ${code}`;
  return { errorType: 'Runtime.ExitError', errorMessage: `RequestId: ${requestId} Error: ${how}` };
}
