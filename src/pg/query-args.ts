// The arguments of a `query`, in all the forms that pg takes. It must not know who sends them, nor why not.

// Not imported: an ES module would list its exports as it starts.
const { AsyncResource } = process.getBuiltinModule('node:async_hooks');

/** What `query` may be given besides a text: pg's config, or something that submits itself. */
interface AnyConfig {
  readonly text?: unknown;
  readonly values?: unknown;
  name?: unknown;
  /** The cursor inside of a pg-query-stream. */
  readonly cursor?: { readonly text?: unknown } | null;
  readonly submit?: unknown;
  readonly handleError?: (error: unknown) => void;
  callback?: unknown;
}

type ErrorCallback = (error: unknown) => void;

/** The text of what `query` was given; submittables such as cursors keep theirs under the same name, or in their cursor. */
export function textOf(config: unknown): string | undefined {
  if (typeof config === 'string') return config;
  const { text, cursor } = (config ?? {}) as AnyConfig;
  if (typeof text === 'string') return text;
  return typeof cursor?.text === 'string' ? cursor.text : undefined;
}

/** The same statement, to be prepared anew each time. One that has a name and no text is left alone: it needs it. */
export function withoutName(args: readonly unknown[]): readonly unknown[] {
  const config = args[0] as AnyConfig | string | null | undefined;
  if (typeof config !== 'object' || !config?.name || typeof config.text !== 'string') return args;
  if (typeof config.submit === 'function') {
    config.name = undefined;
    return args;
  }
  // Not spread: the text may come from a getter of its class. And read here: a getter may need its own object.
  const { text, values } = config;
  const own = { writable: true, enumerable: true, configurable: true };
  const copy: unknown = Object.create(config, {
    name: { value: undefined, ...own },
    text: { value: text, ...own },
    values: { value: values, ...own },
  });
  return args.with(0, copy);
}

/** The function that pg's `query` would call back, if there is one among its arguments. */
export function callbackOf([first, second, third]: readonly unknown[]): ErrorCallback | undefined {
  const given = third || (typeof second === 'function' ? second : (first as AnyConfig).callback);
  return (given || undefined) as ErrorCallback | undefined;
}

/** Asks with a callback and answers with a promise. As pg does: the error's stack ends in the socket, the new one leads to whoever asked. */
export function promised(ask: (callback: (error: Error | null, result?: unknown) => void) => void): Promise<unknown> {
  const answer = new Promise((resolve, reject) => {
    ask((error, result) => (error ? reject(error) : resolve(result)));
  });
  return answer.catch((error: unknown) => {
    if (error instanceof Error) Error.captureStackTrace(error);
    throw error;
  });
}

/** Tells an error in the way the caller expects to hear it: callback, submittable or promise. */
export function refuse(args: readonly unknown[], error: unknown): unknown {
  const first = args[0] as AnyConfig | null | undefined;
  const given = args.findLast((arg) => typeof arg === 'function') as ErrorCallback | undefined;
  if (typeof first?.handleError === 'function') {
    // As pg does (8.23, lib/client.js): it hears of its callback before it hears of anything else.
    if (given !== undefined && !first.callback) first.callback = given;
    process.nextTick(() => first.handleError?.(error));
    return first;
  }
  const callback = given ?? first?.callback;
  if (typeof callback !== 'function') return Promise.reject(error);
  process.nextTick(() => (callback as ErrorCallback)(error));
  return undefined;
}

/**
 * Has a callback called in the async context of whoever sends the statement: pg calls it in that of the socket, which is
 * the one in which the connection was made. Promises need no such thing.
 */
export function inContext(args: readonly unknown[]): readonly unknown[] {
  const at = typeof args[1] === 'function' ? 1 : 2;
  const callback = args[at];
  return typeof callback === 'function' ? args.with(at, AsyncResource.bind(callback as ErrorCallback)) : args;
}
