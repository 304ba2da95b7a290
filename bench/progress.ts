/** Says on a terminal what is being measured, in one line that is written again and again; elsewhere in a line for each case. */

/** What sections tell of their progress. */
export interface Progress {
  readonly say: (text: string) => void;
  /** Takes the line away, so that something else can be written. */
  readonly clear: () => void;
}

/** `query(): 3 of 31` on a terminal; what counts up is left out elsewhere. */
const COUNTING = / of \d+$/;

/** Returns a progress that writes to this stream. */
export function showProgress(stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) {
    return {
      say: (text) => {
        if (!COUNTING.test(text)) stream.write(`${text}\n`);
      },
      clear: () => {},
    };
  }
  const clear = (): void => void stream.write('\r\x1b[K');
  return {
    say: (text) => {
      clear();
      stream.write(text.slice(0, stream.columns - 1));
    },
    clear,
  };
}
