/** The sample as a CDK app: `npx cdk deploy`, and with `-c proxy=off` without the proxy. */
import { App } from 'aws-cdk-lib';
import { addSample } from './sample.ts';

const app = new App();
addSample(app);
app.synth();
