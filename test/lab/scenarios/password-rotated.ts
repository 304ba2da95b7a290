import { everyInvocationAnswers, killSessions, needsOwnServer, recorder, type Scenario } from './scenario.ts';
import { SHORT_MILLIS } from './while-frozen.ts';

const NEW_PASSWORD = 'rotated: 100%';

/** The secret is rotated, and the sessions of the old one are ended. Subjects look the password up by a function. */
export const scenario: Scenario = {
  name: 'password-rotated',
  title: 'the password is rotated',
  rule: 'No invocation fails, although the password is rotated and the session ended while the sandbox is frozen.',
  lab: { passwordFile: true },
  unable: needsOwnServer,
  async run(lab) {
    const { postgres, folder } = lab;
    const setPassword = (to: string) => postgres.admin(`alter role "${postgres.user}" password '${to}'`);
    const { invoke, invocations } = recorder(lab);
    await invoke('cold');
    await invoke('warm');
    try {
      await lab.freezeFor(SHORT_MILLIS, async () => {
        await setPassword(NEW_PASSWORD);
        await folder.setPassword(NEW_PASSWORD);
        await killSessions(lab);
      });
      await invoke('after the rotation');
      await invoke('warm again');
    } finally {
      await setPassword(postgres.password);
    }
    return { invocations };
  },
  judge: everyInvocationAnswers,
};
