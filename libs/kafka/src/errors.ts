/** Errors of Kafka and of the way to it, classified by what the caller can do. */
import { codeOf, defineErrors, MeshError, messageOf } from '@thermomesh/runtime';

/** Every error code of this library, and whether the same call may succeed later. */
export const { codes: errorCodes, error: kafkaError } = defineErrors({
  'kafka.unavailable': { retriable: true },
  'kafka.refused': { retriable: false },
  'kafka.closed': { retriable: false },
  'kafka.producer_full': { retriable: true },
  'kafka.bad_settings': { retriable: false },
  'kafka.topic_mismatch': { retriable: false },
});

type KafkaCode = keyof typeof errorCodes;

/** The base of this library's error classes: the code decides whether the error is retriable. */
class KafkaError extends MeshError {
  constructor(code: KafkaCode, message: string, cause?: unknown) {
    super(code, message, { cause, retriable: errorCodes[code].retriable });
  }
}

/**
 * No answer, or a temporary error: brokers are gone, elect a leader, or lack replicas. What was
 * sent may or may not be stored.
 */
export class KafkaUnavailableError extends KafkaError {
  constructor(cause: unknown, message = messageOf(cause)) {
    super('kafka.unavailable', message, cause);
  }
}

/**
 * The brokers refuse the request, now and later. `type` is the protocol's name of the reason, if it
 * has one.
 */
export class KafkaRefusedError extends KafkaError {
  readonly type: string | undefined;

  constructor(cause: unknown, type: string | undefined) {
    super('kafka.refused', messageOf(cause), cause);
    this.type = type;
  }
}

/** The client is closed. */
export class KafkaClosedError extends KafkaError {
  constructor() {
    super('kafka.closed', 'this Kafka client is closed');
  }
}

/**
 * Protocol errors that waiting does not change. All others may be temporary: a restarting broker
 * answers with unexpected errors.
 */
const permanentTypes = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_TOPIC_EXCEPTION',
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'INVALID_REQUIRED_ACKS',
  'INVALID_PARTITIONS',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_REPLICA_ASSIGNMENT',
  'INVALID_CONFIG',
  'INVALID_REQUEST',
  'UNSUPPORTED_VERSION',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  'POLICY_VIOLATION',
  'SASL_AUTHENTICATION_FAILED',
  'INVALID_TIMESTAMP',
]);

/** Errors of kafkajs itself, by name, that waiting does not change. */
const permanentNames = new Set([
  'KafkaJSNotImplemented',
  'KafkaJSServerDoesNotSupportApiKey',
  'KafkaJSUnsupportedMagicByteInMessageSet',
  'KafkaJSSASLAuthenticationError',
  'TypeError',
  'RangeError',
  'ReferenceError',
]);

/**
 * Errors after which an idempotent producer must be replaced, because it and the brokers disagree
 * on what was sent. Sending again with a new producer may append twice.
 */
const producerIsLostTypes = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'DUPLICATE_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'PRODUCER_FENCED',
]);

/** Converts any error of kafkajs into one of the classes above. */
export function classifyKafkaError(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const type = protocolTypeOf(error);
  if (type !== undefined && permanentTypes.has(type)) return new KafkaRefusedError(error, type);
  // Authorization errors of a broker's predecessor on the same address do not count as refusals,
  // and a broker that hangs up is only gone.
  if (chainOf(error).some(({ name }) => permanentNames.has(name))) return new KafkaRefusedError(error, type);
  return new KafkaUnavailableError(error);
}

/** True if the idempotent producer must be replaced before anything else is sent. */
export function isProducerLost(error: unknown): boolean {
  const type = protocolTypeOf(error);
  return (
    (type !== undefined && producerIsLostTypes.has(type)) ||
    chainOf(error).some(({ message }) => message.includes('producer is disconnected'))
  );
}

/** The name of an error for metrics and logs: the protocol's name, else a code, else its class. */
export function kindOfKafkaError(error: unknown): string {
  const cause = error instanceof MeshError ? (error.cause ?? error) : error;
  const [first] = chainOf(cause);
  return protocolTypeOf(cause) ?? codeOf(cause) ?? first?.name ?? 'unknown';
}

/** The protocol's name of the error, from anywhere in the chain of causes. */
function protocolTypeOf(error: unknown): string | undefined {
  for (const link of chainOf(error)) {
    if ('type' in link && typeof link.type === 'string') return link.type;
  }
  return undefined;
}

const causesMax = 8;

function chainOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let link = error; link instanceof Error && chain.length < causesMax; link = link.cause)
    chain.push(link);
  return chain;
}
