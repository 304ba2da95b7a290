import { describe, expect, test } from 'vitest';
import { Conditions } from '../../../src/pool/conditions.ts';
import { Step, type StepOutcome } from '../../../src/pool/step.ts';
import { deferred, watch } from '../../support/deferred.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

function step() {
  const clock = new FakeClock();
  const heard: string[] = [];
  const tell = (what: string) => (outcome: StepOutcome<number>) => {
    const detail = outcome.kind === 'done' ? outcome.value : outcome.kind === 'failed' ? String(outcome.error) : '';
    heard.push(`${what} ${outcome.kind} ${detail}`.trim());
  };
  return { clock, heard, step: new Step<number>(clock, tell('settled'), tell('late')) };
}

describe('a step', () => {
  test('makes its call at once and settles later, even where the answer is there', async () => {
    const { step: one, heard, clock } = step();
    let called = false;
    one.run(10, () => {
      called = true;
      return 1;
    });
    expect([called, heard]).toEqual([true, []]);
    await settle();
    expect(heard).toEqual(['settled done 1']);
    expect(clock.timers).toBe(0);
  });

  test.each<[string, () => Promise<number> | number, string]>([
    ['answers later', async () => 2, 'settled done 2'],
    [
      'throws',
      () => {
        throw new Error('no');
      },
      'settled failed Error: no',
    ],
    ['rejects', () => Promise.reject(new Error('no')), 'settled failed Error: no'],
    ['rejects with a string', () => Promise.reject<number>(JSON.parse('"no"')), 'settled failed no'],
  ])('settles once when its call %s', async (_, call, outcome) => {
    const { step: one, heard, clock } = step();
    one.run(10, call);
    await clock.advance(100);
    expect(heard).toEqual([outcome]);
  });

  test('gives up after its budget and one more poll, tells, then aborts; the answer is late', async () => {
    const { step: one, heard, clock } = step();
    const answer = deferred<number>();
    let given: AbortSignal | undefined;
    one.run(10, (signal) => {
      given = signal;
      signal.addEventListener('abort', () => heard.push('aborted'));
      return answer.promise;
    });
    await clock.advance(9);
    expect([heard, given?.aborted]).toEqual([[], false]);
    await clock.advance(1);
    expect(heard).toEqual(['settled timeout', 'aborted']);
    answer.resolve(3);
    await settle();
    expect(heard).toEqual(['settled timeout', 'aborted', 'late done 3']);
  });

  test('takes an answer that the last poll brings', async () => {
    const { step: one, heard, clock } = step();
    const answer = deferred<number>();
    one.run(10, () => answer.promise);
    clock.freeze(10_000, { monotonicRuns: true });
    clock.afterTurn(() => answer.resolve(4));
    await clock.turn();
    expect(heard).toEqual(['settled done 4']);
  });

  test('never settles once it is abandoned; what comes is late', async () => {
    const { step: one, heard, clock } = step();
    const answer = deferred<number>();
    let given: AbortSignal | undefined;
    one.run(10, (signal) => {
      given = signal;
      return answer.promise;
    });
    one.abandon();
    expect([given?.aborted, clock.timers]).toEqual([true, 0]);
    one.abandon();
    await clock.advance(100);
    expect(heard).toEqual([]);
    answer.reject(new Error('aborted'));
    await settle();
    expect(heard).toEqual(['late failed Error: aborted']);
  });

  test('may be abandoned by its own call', async () => {
    const { step: one, heard, clock } = step();
    one.run(10, () => {
      one.abandon();
      return 5;
    });
    expect(clock.timers).toBe(0);
    await clock.advance(100);
    expect(heard).toEqual(['late done 5']);
  });

  test('is not aborted once it has settled', async () => {
    const { step: one, clock } = step();
    let given: AbortSignal | undefined;
    one.run(10, (signal) => {
      given = signal;
      return 6;
    });
    await settle();
    one.abandon();
    await clock.advance(100);
    expect(given?.aborted).toBe(false);
  });

  test('needs nobody who hears what is late', async () => {
    const clock = new FakeClock();
    const heard: string[] = [];
    const one = new Step<number>(clock, ({ kind }) => void heard.push(kind));
    const answer = deferred<number>();
    one.run(10, () => answer.promise);
    await clock.advance(10);
    answer.resolve(7);
    await settle();
    expect(heard).toEqual(['timeout']);
  });
});

describe('conditions', () => {
  test('resolve at once when they hold', async () => {
    const conditions = new Conditions();
    await conditions.until(() => true);
  });

  test('are looked at once after a turn in which something changed', async () => {
    const conditions = new Conditions();
    let looked = 0;
    let value = 0;
    const met = watch(
      conditions.until(() => {
        looked += 1;
        return value === 2;
      }),
    );
    const other = watch(conditions.until(() => value === 3));
    looked = 0;
    for (value = 1; value < 2; ) {
      conditions.noteChange();
      conditions.noteChange();
      value += 1;
    }
    await settle();
    expect([looked, met.state, other.state]).toEqual([1, 'fulfilled', 'pending']);
    value = 3;
    conditions.noteChange();
    await settle();
    expect([looked, other.state]).toEqual([1, 'fulfilled']);
  });

  test('that hold in the middle of a change only do not count', async () => {
    const conditions = new Conditions();
    let value = 0;
    const met = watch(conditions.until(() => value === 1));
    value = 1;
    conditions.noteChange();
    value = 2;
    await settle();
    expect(met.state).toBe('pending');
    conditions.noteChange();
    value = 1;
    await settle();
    expect(met.state).toBe('fulfilled');
  });
});
