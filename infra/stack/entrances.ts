/** The ways into the order service: an HTTP API, a queue, and a clock. */
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as apigateway from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

/** What the entrances lead to. */
export interface EntrancesProps {
  readonly createOrder: lambda.Function;
  readonly getOrder: lambda.Function;
  readonly consumeOrders: lambda.Function;
  readonly dailyReport: lambda.Function;
}

/** AWS recommends a visibility timeout of six times the function's (Lambda Developer Guide, "Using Lambda with Amazon SQS"). */
const VISIBILITY_FACTOR = 6;
/** Requests per second; a demonstration that anybody may call has a ceiling. */
const RATE = 50;
const BURST = 100;
/** How many batches are worked on at once: event sources poll with at least two at once (Lambda quotas), however few there are to do. */
export const CONSUMERS = 2;

/** The API, the queue with its dead letters, and the schedule. */
export class Entrances extends Construct {
  readonly api: apigateway.HttpApi;
  readonly queue: sqs.Queue;
  readonly deadLetters: sqs.Queue;

  constructor(scope: Construct, id: string, props: EntrancesProps) {
    super(scope, id);
    this.api = this.#makeApi(props);
    this.deadLetters = new sqs.Queue(this, 'DeadLetters', {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    this.queue = this.#makeQueue(props.consumeOrders);
    new events.Rule(this, 'ShortlyAfterMidnight', {
      description: 'The report of the day before, in UTC',
      schedule: events.Schedule.cron({ hour: '0', minute: '5' }),
      targets: [new targets.LambdaFunction(props.dailyReport, { retryAttempts: 2, maxEventAge: Duration.hours(1) })],
    });
  }

  #makeApi({ createOrder, getOrder }: EntrancesProps): apigateway.HttpApi {
    const api = new apigateway.HttpApi(this, 'Api', { createDefaultStage: false, description: 'Orders' });
    new apigateway.HttpStage(this, 'Stage', {
      httpApi: api,
      autoDeploy: true,
      throttle: { rateLimit: RATE, burstLimit: BURST },
      accessLogSettings: {
        destination: new apigateway.LogGroupLogDestination(
          new logs.LogGroup(this, 'Access', {
            retention: logs.RetentionDays.ONE_MONTH,
            removalPolicy: RemovalPolicy.DESTROY,
          }),
        ),
      },
    });
    api.addRoutes({
      path: '/orders',
      methods: [apigateway.HttpMethod.POST],
      integration: new HttpLambdaIntegration('CreateOrder', createOrder),
    });
    api.addRoutes({
      path: '/orders/{id}',
      methods: [apigateway.HttpMethod.GET],
      integration: new HttpLambdaIntegration('GetOrder', getOrder),
    });
    return api;
  }

  #makeQueue(consumer: lambda.Function): sqs.Queue {
    const timeout = consumer.timeout ?? Duration.seconds(3); // Lambda's own.
    const queue = new sqs.Queue(this, 'Queue', {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      visibilityTimeout: Duration.seconds(timeout.toSeconds() * VISIBILITY_FACTOR),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: 5 },
    });
    consumer.addEventSource(
      new SqsEventSource(queue, { batchSize: 10, reportBatchItemFailures: true, maxConcurrency: CONSUMERS }),
    );
    return queue;
  }
}
