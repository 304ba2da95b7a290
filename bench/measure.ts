/** Measures several subjects in the same rounds, one at a time, so that what disturbs the machine disturbs all alike. */
import type { Case, Figure, Role, Target, Unit } from './model.ts';
import { bestOf, ratios, spreadOf } from './statistics.ts';
import { figure } from './verdict.ts';

/** A subject that is ready. */
export interface Runner {
  /** Does its share of one round and returns what it came to, in the unit of the case. */
  round(): Promise<number>;
  close(): Promise<void>;
}

/** A subject of a case. */
export interface Subject {
  readonly name: string;
  readonly role: Role;
  start(): Promise<Runner>;
}

/** What is measured, for which subjects. */
export interface Spec {
  readonly id: string;
  readonly title: string;
  readonly unit: Unit;
  /** The subject that the ratios are to. */
  readonly reference: string;
  readonly subjects: readonly Subject[];
  /** Counts the first round as well, where each begins in a fresh process anyway. @default false */
  readonly cold?: boolean;
}

/** What every round has shown, by subject. */
export type Samples = ReadonlyMap<string, readonly number[]>;

/** A case that was measured, with each of its rounds. */
export interface Measured {
  readonly case: Case;
  readonly samples: Samples;
}

/** Runs the rounds: forwards, backwards, forwards, …, so that no subject always follows the same one. */
export async function interleave(
  runners: ReadonlyMap<string, Pick<Runner, 'round'>>,
  rounds: number,
  onRound: (round: number) => void = () => {},
): Promise<Samples> {
  const samples = new Map([...runners.keys()].map((name): [string, number[]] => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const order = [...runners];
    if (round % 2 === 1) order.reverse();
    for (const [name, runner] of order) samples.get(name)?.push(await runner.round());
    onRound(round + 1);
  }
  return samples;
}

/** Starts the subjects, measures them and ends them. */
export async function measure(spec: Spec, rounds: number, onRound?: (round: number) => void): Promise<Measured> {
  const runners = new Map<string, Runner>();
  try {
    for (const { name, start } of spec.subjects) runners.set(name, await start());
    // The first round of each is not counted: it finds nothing compiled and no connection made.
    if (!spec.cold) for (const runner of runners.values()) await runner.round();
    const samples = await interleave(runners, rounds, onRound);
    return { case: caseOf(spec, samples), samples };
  } finally {
    for (const runner of runners.values()) await runner.close();
  }
}

/** Sums up the rounds of a case. */
export function caseOf(
  spec: Omit<Spec, 'subjects'> & { subjects: readonly Pick<Subject, 'name' | 'role'>[] },
  samples: Samples,
): Case {
  const { id, title, unit, reference } = spec;
  const floor = seriesOf(samples, reference);
  const rows = spec.subjects.map(({ name, role }) => {
    const values = seriesOf(samples, name);
    return {
      subject: name,
      role,
      ...spreadOf(values),
      best: bestOf(values, unit),
      ...(name !== reference && { ratio: spreadOf(ratios(values, floor)) }),
    };
  });
  return { id, title, unit, rounds: floor.length, reference, rows };
}

/** Returns the figure of one subject's values over another's, round by round. */
export function ratioFigure(
  id: string,
  title: string,
  of: readonly number[],
  to: readonly number[],
  target?: Target,
): Figure {
  return figure(id, title, 'ratio', spreadOf(ratios(of, to)), target);
}

/** Returns one subject's values. @throws RangeError when it was not measured */
export function seriesOf(samples: Samples, subject: string): readonly number[] {
  const values = samples.get(subject);
  if (values === undefined) throw new RangeError(`There are no rounds of ${subject}.`);
  return values;
}
