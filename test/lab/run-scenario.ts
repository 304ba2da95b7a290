/** Runs one scenario on one subject in a lab of its own, and judges it. */
import type { TraceLine } from './chaos-proxy.ts';
import { type Lab, type LabOptions, openLab } from './lab.ts';
import type { Outcome, Scenario } from './scenarios/scenario.ts';
import type { Subject } from './subjects/index.ts';

/** What became of a run. */
export interface ScenarioReport {
  readonly subject: Subject;
  readonly scenario: Scenario;
  /** `skip`: this lab or this subject cannot do what the scenario needs. */
  readonly verdict: 'pass' | 'fail' | 'skip';
  readonly why: string;
  readonly outcome: Outcome;
  /** The protocol trace; empty unless asked for. */
  readonly trace: readonly TraceLine[];
  /** What the sandbox's processes wrote to their standard output and error. */
  readonly output: string;
}

/** Runs the scenario. A handler that cannot be loaded is a failed scenario, not an exception. */
export async function runScenario(
  scenario: Scenario,
  subject: Subject,
  options: Omit<LabOptions, 'subject'> = {},
): Promise<ScenarioReport> {
  let lab: Lab | undefined;
  const report = (verdict: ScenarioReport['verdict'], why: string, outcome: Outcome): ScenarioReport => {
    const output = `${lab?.sandbox.stdout ?? ''}${lab?.sandbox.stderr ?? ''}`;
    return { subject, scenario, verdict, why, outcome, trace: [...(lab?.proxy.trace ?? [])], output };
  };
  const cannot = scenario.needs && subject.cannot?.[scenario.needs];
  if (cannot !== undefined) return report('skip', cannot, { invocations: [] });
  try {
    lab = await openLab({ ...options, ...scenario.lab, subject });
    const unable = scenario.unable?.(lab);
    if (unable !== undefined) return report('skip', unable, { invocations: [] });
    const outcome = await scenario.run(lab);
    const { pass, why } = scenario.judge(outcome);
    return report(pass ? 'pass' : 'fail', why, outcome);
  } catch (error) {
    return report('fail', `could not run: ${(error as Error).message}`, { invocations: [] });
  } finally {
    await lab?.close();
  }
}
