// What an owner has started and not seen the end of. Kept only so that work which is taken from its owner at the end of an
// invocation does not end the process as an unhandled rejection: a warning has named it by then.

interface Call {
  promise: Promise<unknown> | undefined;
}

const callsByOwner = new WeakMap<object, Set<Call>>();

/** Follows a promise that is handed to an owner's code. Until the owner is over, a rejection that nobody hears is loud. */
export function followed<R>(owner: object | undefined, work: Promise<R>): Promise<R> {
  if (owner === undefined) return work;
  let calls = callsByOwner.get(owner);
  if (calls === undefined) callsByOwner.set(owner, (calls = new Set()));
  const call: Call = { promise: undefined };
  calls.add(call);
  const promise = follow(work, call, calls);
  call.promise = promise;
  return promise;
}

async function follow<R>(work: Promise<R>, call: Call, calls: Set<Call>): Promise<R> {
  try {
    return await work;
  } finally {
    calls.delete(call);
  }
}

/** The owner is over: whoever still waits for its work hears of the failure, and if nobody does that is no error. */
export function hushRejections(owner: object): void {
  for (const { promise } of callsByOwner.get(owner) ?? []) void promise?.catch(() => {});
}
