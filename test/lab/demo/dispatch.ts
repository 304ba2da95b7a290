/**
 * One function for all events of the order service, told apart by their shape: in the demo one sandbox serves them all,
 * so that what is shown is one pool used again and again.
 */

/** What an event asks for. */
export type EventKind = 'create' | 'get' | 'consume' | 'report';

/** A handler as Lambda calls it. */
type Handler = (event: never, context: never) => unknown;

/** A handler for each kind of event. */
export type Handlers = Readonly<Record<EventKind, Handler>>;

/** The marks by which AWS's event shapes are told apart. */
interface AnyEvent {
  readonly version?: unknown;
  readonly routeKey?: unknown;
  readonly source?: unknown;
  readonly 'detail-type'?: unknown;
  readonly Records?: readonly { readonly eventSource?: unknown }[];
}

/**
 * Recognises an event: API Gateway's payload format 2.0 by its route, SQS by its records, EventBridge by its source.
 *
 * @throws When the event has none of these shapes.
 */
export function kindOf(event: unknown): EventKind {
  const { version, routeKey, source, Records, ...rest } = (event ?? {}) as AnyEvent;
  if (version === '2.0' && routeKey === 'POST /orders') return 'create';
  if (version === '2.0' && routeKey === 'GET /orders/{id}') return 'get';
  if (Array.isArray(Records) && Records[0]?.eventSource === 'aws:sqs') return 'consume';
  if (source === 'aws.events' && rest['detail-type'] === 'Scheduled Event') return 'report';
  throw new Error(`No handler for this event: ${JSON.stringify(event)?.slice(0, 200)}`);
}

/** Makes one handler out of several. */
export function dispatch(handlers: Handlers): (event: unknown, context: unknown) => Promise<unknown> {
  return async (event, context) => handlers[kindOf(event)](event as never, context as never);
}
