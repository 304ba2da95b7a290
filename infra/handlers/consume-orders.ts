/** SQS: stores each queued order in a transaction of its own, and hands back those that failed. */
import middy from '@middy/core';
import type { SQSBatchItemFailure, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { pgPool } from 'thawpool/middy';
import { parseDraft } from '../orders/order.ts';
import { insertOrderOnce } from '../orders/store.ts';

export const handler = middy<SQSEvent, SQSBatchResponse>()
  .use(pgPool())
  .handler(async (event, { db }) => {
    const batchItemFailures: SQSBatchItemFailure[] = [];
    // One after the other, on one connection: a sandbox that took ten at once would need ten.
    for (const { messageId, body } of event.Records) {
      try {
        const parsed = parseDraft(body);
        if ('problems' in parsed) throw new Error(parsed.problems.join('; '));
        await db.transaction((tx) => insertOrderOnce(tx, messageId, parsed.draft));
      } catch (error) {
        console.error(`Message ${messageId} was not stored:`, error);
        batchItemFailures.push({ itemIdentifier: messageId });
      }
    }
    return { batchItemFailures };
  });
