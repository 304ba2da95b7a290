// Puts a pool into the context of an invocation, and takes part in its begin and end. What kind of pool it is it does not know.

import type { ContextLike, Invocation, Lifecycle } from './lifecycle.ts';

/** A pool that takes part in invocations. */
export interface Bindable<View> {
  readonly lifecycle: Lifecycle;
  readonly control: {
    /** The pool as one invocation has it: what is acquired through it is that invocation's. */
    viewFor(invocation: Invocation): View;
  };
}

/** A pool's share in one invocation. */
export interface Bound<C> {
  /** The context with the pool in it, whose work is owned by this invocation. */
  readonly context: C;
  /** The invocation is over. */
  end(): Promise<void>;
}

/** Begins an invocation of a pool, and puts the pool into its context under that key. */
export async function bind<C extends ContextLike & object>(
  { lifecycle, control }: Bindable<unknown>,
  given: C,
  key: string,
): Promise<Bound<C>> {
  const context = open(given, key);
  const invocation = await lifecycle.begin(context);
  (context as Record<string, unknown>)[key] = control.viewFor(invocation);
  return { context, end: () => lifecycle.end(invocation) };
}

/** The context itself where it takes the property; otherwise, frozen or sealed, a copy that does. */
function open<C extends object>(context: C, key: string): C {
  const there = Object.getOwnPropertyDescriptor(context, key);
  if (there === undefined ? Object.isExtensible(context) : there.writable || there.set) return context;
  const { [key]: _, ...others } = Object.getOwnPropertyDescriptors(context) as PropertyDescriptorMap;
  return Object.create(Object.getPrototypeOf(context) as object | null, others) as C;
}

/**
 * Runs a handler as an invocation.
 *
 * @param begin - begins it with the handler's context
 */
export function boundHandler(
  handler: (...args: never[]) => unknown,
  begin: (context: ContextLike & object) => Promise<Bound<ContextLike & object>>,
): (...args: unknown[]) => Promise<unknown> {
  // At most two declared parameters, as Node.js 24 on Lambda requires.
  return async (...args) => {
    // The context comes last; Lambda's old callback, where there is one, comes after it.
    const at = args.findLastIndex((arg, index) => index > 0 && typeof arg === 'object' && arg !== null);
    const last = at < 0 ? 1 : at;
    const { context, end } = await begin(args[last] ?? {});
    args[last] = context;
    try {
      return await (handler as (...all: unknown[]) => unknown)(...args);
    } finally {
      await end();
    }
  };
}
