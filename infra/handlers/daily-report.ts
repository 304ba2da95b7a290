/** EventBridge, shortly after midnight UTC: adds up the orders of the day before. */
import middy from '@middy/core';
import type { ScheduledEvent } from 'aws-lambda';
import { pgPool } from 'thawpool/middy';
import { type DailyReport, dayBefore, reportDay } from '../orders/report.ts';

export const handler = middy<ScheduledEvent, DailyReport>()
  .use(pgPool())
  .handler((event, { db }) => reportDay(db, dayBefore(event.time)));
