// What a command leaves behind on its connection. Pure: the words of a command in, what is to be done about it out.

/** What is left: nothing, something that one command takes back, or something for which the connection is given up. */
export type Leftover = 'watch' | 'multi' | 'select' | 'beyond-repair';

/** Commands that change what the connection is, or how it answers: nothing short of a new one is sure to undo them. */
const beyondRepair: ReadonlySet<string> = new Set([
  ...['SUBSCRIBE', 'PSUBSCRIBE', 'SSUBSCRIBE', 'MONITOR', 'SYNC', 'PSYNC', 'QUIT', 'SHUTDOWN'],
  ...['AUTH', 'HELLO', 'RESET', 'READONLY', 'READWRITE'],
]);

/** What CLIENT is followed by when it changes nothing that outlives it. */
const harmlessClient: ReadonlySet<string> = new Set([
  ...['ID', 'INFO', 'LIST', 'KILL', 'GETNAME', 'GETREDIR', 'TRACKINGINFO', 'PAUSE', 'UNPAUSE', 'UNBLOCK', 'HELP'],
]);

/**
 * What a command leaves behind once it has run.
 *
 * @returns nothing where it leaves nothing; `ends` names what it ends
 */
export function leftBy(args: readonly unknown[]): Leftover | { readonly ends: readonly Leftover[] } | undefined {
  const command = wordOf(args[0]);
  switch (command) {
    case 'WATCH':
      return 'watch';
    case 'MULTI':
      return 'multi';
    case 'SELECT':
      return 'select';
    case 'UNWATCH':
      return { ends: ['watch'] };
    case 'EXEC':
    case 'DISCARD':
      return { ends: ['multi', 'watch'] };
    case 'CLIENT':
      return harmlessClient.has(wordOf(args[1])) ? undefined : 'beyond-repair';
    default:
      return beyondRepair.has(command) ? 'beyond-repair' : undefined;
  }
}

function wordOf(arg: unknown): string {
  if (typeof arg === 'string') return arg.toUpperCase();
  return arg instanceof Uint8Array ? new TextDecoder().decode(arg).toUpperCase() : '';
}
