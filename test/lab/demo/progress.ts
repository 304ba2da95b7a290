/** Shows the demo while it runs: on a terminal a display that follows it, elsewhere plain lines. */
import type { RuntimeClient } from '../find-runtime-client.ts';

/** What the demo is made of. */
export interface Facts {
  readonly runtimeClient: Pick<RuntimeClient, 'name' | 'version'>;
  readonly postgres: string;
  readonly node: string;
}

/** Hears what the demo does. */
export interface Progress {
  facts(facts: Facts): void;
  phase(title: string, rounds: number): void;
  /** The round, from 0. */
  round(index: number): void;
  /** What is being waited for; empty when nothing is. */
  note(text: string): void;
  mark(subject: string, ok: boolean): void;
  phaseEnd(): void;
  skip(title: string, why: string): void;
  /** Leaves the terminal as it was. */
  close(): void;
}

/** Where the display goes; `process.stdout` is one. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** A subject's name and how it is shown. */
export interface Row {
  readonly name: string;
  readonly title: string;
}

type Paint = (text: string) => string;
type Colour = 'bold' | 'dim' | 'green' | 'red';

const CODES: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32 };
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const TITLE_WIDTH = 15;
const DEFAULT_COLUMNS = 80;

/** Whether output may be coloured and redrawn: a terminal, and nobody asked for plain text (no-color.org). */
export function isRich(output: Output, env: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return output.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
}

/** Returns what paints text, or leaves it as it is. */
export function painter(rich: boolean): Readonly<Record<Colour, Paint>> {
  const paint = (name: Colour): Paint => (rich ? (text) => `\x1b[${CODES[name]}m${text}\x1b[0m` : (text) => text);
  return { bold: paint('bold'), dim: paint('dim'), green: paint('green'), red: paint('red') };
}

/** Puts the facts into one line. */
export function factsLine({ runtimeClient, postgres, node }: Facts): string {
  const { name, version } = runtimeClient;
  const client = name === 'aws-lambda-ric' ? `aws-lambda-ric ${version}` : `a small runtime client (as ${version})`;
  return `${client} · PostgreSQL ${postgres} · Node ${node.replace(/^v/, '')}`;
}

/** The marks of one subject in one phase: groups, a round each. */
class Marks {
  readonly #rounds: boolean[][] = [];

  begin(): void {
    this.#rounds.push([]);
  }

  add(ok: boolean): void {
    this.#rounds.at(-1)?.push(ok);
  }

  /** Shows as much as fits; what does not is left out at the start. */
  text(width: number, paint: Readonly<Record<Colour, Paint>>): string {
    const all = this.#rounds.flatMap((round, index) => (index === 0 ? round : [undefined, ...round]));
    const shown = all.slice(Math.max(0, all.length - width));
    return shown.map((ok) => (ok === undefined ? ' ' : ok ? paint.green('✓') : paint.red('✗'))).join('');
  }
}

/** The last lines of the output: drawn again and again on a terminal, written once elsewhere. */
class Screen {
  readonly rich: boolean;
  readonly #output: Output;
  #drawn = 0;

  constructor(output: Output) {
    this.#output = output;
    this.rich = isRich(output);
    if (this.rich) output.write(HIDE_CURSOR);
  }

  /** Room for text: a full last column would wrap. */
  get columns(): number {
    return (this.#output.columns || DEFAULT_COLUMNS) - 1;
  }

  /** Replaces what was drawn last. */
  draw(lines: readonly string[]): void {
    if (!this.rich) return;
    const back = this.#drawn > 0 ? `\x1b[${this.#drawn}A\r` : '';
    this.#output.write(`${back}${lines.map((line) => `\x1b[2K${line}\n`).join('')}\x1b[J`);
    this.#drawn = lines.length;
  }

  /** Replaces what was drawn last by lines that stay. */
  settle(lines: readonly string[]): void {
    if (this.rich) this.draw(lines);
    else this.#output.write(lines.map((line) => `${line}\n`).join(''));
    this.#drawn = 0;
  }

  close(): void {
    if (!this.rich) return;
    if (this.#drawn > 0) this.draw([]);
    this.#output.write(SHOW_CURSOR);
  }
}

/** What is shown of the phase that runs. */
class PhaseDisplay {
  title = '';
  rounds = 0;
  round = 0;
  note = '';
  readonly #rows: readonly Row[];
  readonly #paint: Readonly<Record<Colour, Paint>>;
  readonly #marks = new Map<string, Marks>();
  readonly #began = performance.now();

  constructor(rows: readonly Row[], paint: Readonly<Record<Colour, Paint>>) {
    this.#rows = rows;
    this.#paint = paint;
  }

  begin(title: string, rounds: number): void {
    Object.assign(this, { title, rounds, round: 0, note: '' });
    for (const { name } of this.#rows) this.#marks.set(name, new Marks());
  }

  beginRound(index: number): void {
    this.round = index;
    for (const each of this.#marks.values()) each.begin();
  }

  mark(subject: string, ok: boolean): void {
    this.#marks.get(subject)?.add(ok);
  }

  /** A line for each subject. */
  rows(columns: number): string[] {
    const width = columns - TITLE_WIDTH - 2;
    return this.#rows.map(
      ({ name, title }) => `  ${title.padEnd(TITLE_WIDTH)}${this.#marks.get(name)?.text(width, this.#paint) ?? ''}`,
    );
  }

  /** The lines while the phase runs. */
  lines(columns: number): string[] {
    const { title, rounds, round, note } = this;
    const which = title !== '' && rounds > 1 ? `round ${round + 1} of ${rounds}` : '';
    const seconds = `${((performance.now() - this.#began) / 1000).toFixed(0)} s`;
    const state = [which, note, seconds].filter((text) => text !== '').join(' · ');
    if (title === '') return [this.#paint.dim(state.slice(0, columns))];
    const room = Math.max(0, columns - title.length - 2);
    const heading = `${this.#paint.bold(title.slice(0, columns - 2))}  ${this.#paint.dim(state.slice(0, room))}`;
    return [heading, ...this.rows(columns)];
  }
}

/** Makes the display. */
export function showProgress(output: Output, rows: readonly Row[]): Progress {
  const screen = new Screen(output);
  const paint = painter(screen.rich);
  const current = new PhaseDisplay(rows, paint);
  const redraw = () => screen.draw(current.lines(screen.columns));
  const timer = screen.rich ? setInterval(redraw, 1000).unref() : undefined; // The seconds go on while all wait.
  const redrawAfter =
    <Args extends unknown[]>(change: (...args: Args) => void) =>
    (...args: Args) => {
      change(...args);
      redraw();
    };
  return {
    facts: (facts) => screen.settle([paint.dim(factsLine(facts)), '']),
    phase: redrawAfter((title, rounds) => current.begin(title, rounds)),
    round: redrawAfter((index) => current.beginRound(index)),
    note: redrawAfter((text) => {
      current.note = text;
    }),
    mark: redrawAfter((subject, ok) => current.mark(subject, ok)),
    phaseEnd() {
      screen.settle([paint.bold(current.title), ...current.rows(screen.columns)]);
      current.title = '';
    },
    skip: (what, why) => screen.settle([`${paint.bold(what)}  ${paint.dim(`left out: ${why}`)}`]),
    close() {
      clearInterval(timer);
      screen.close();
    },
  };
}
