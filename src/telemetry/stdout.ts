// Standard output, without its errors: a process that nobody listens to any more must not end for that.

let under = 0;

/**
 * Writes a line to standard output. Not by `console.log`, before which Lambda puts a time, a request id and a level: such
 * a line is no metric to CloudWatch.
 */
export function writeToStdout(line: string): void {
  const { stdout } = process;
  if (under === 0) stdout.on('error', ignore);
  under += 1;
  stdout.write(line, () => {
    // Not at once: the stream tells its listeners of a failure after it has told this function.
    setImmediate(() => {
      under -= 1;
      if (under === 0) stdout.off('error', ignore);
    }).unref();
  });
}

function ignore(): void {}
