/** The order service on thawpool: the very handlers that the sample stack deploys. */
import { handler as consume } from '../../../infra/handlers/consume-orders.ts';
import { handler as create } from '../../../infra/handlers/create-order.ts';
import { handler as report } from '../../../infra/handlers/daily-report.ts';
import { handler as get } from '../../../infra/handlers/get-order.ts';
import { dispatch } from './dispatch.ts';

export const handler = dispatch({ create, get, consume, report });
