/** What Kafka or the way to it answered, sorted by what the caller can do about it. */
import { codeOf, MeshError, messageOf } from '@thermomesh/runtime';

/** No answer, or one that passes: brokers are gone, elect, or lack copies. What was sent may be stored or not. */
export class KafkaUnavailableError extends MeshError {
  constructor(cause: unknown, message = messageOf(cause)) {
    super('kafka.unavailable', message, { cause, retriable: true });
  }
}

/** The brokers refuse it, now and later; `type` is the protocol's name of the reason, if it has one. */
export class KafkaRefusedError extends MeshError {
  readonly type: string | undefined;

  constructor(cause: unknown, type: string | undefined) {
    super('kafka.refused', messageOf(cause), { cause });
    this.type = type;
  }
}

/** The client is closed. */
export class KafkaClosedError extends MeshError {
  constructor() {
    super('kafka.closed', 'this Kafka client is closed');
  }
}

/** Errors of the protocol that no waiting changes. All others pass, or may: a broker that restarts says odd things. */
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

/** Errors of kafkajs itself, by their names, that no waiting changes. */
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
 * Errors after which an idempotent producer must be replaced: the brokers and it no longer agree on what was sent. Sending again with
 * a new one may append twice.
 */
const producerIsLostTypes = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'DUPLICATE_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'PRODUCER_FENCED',
]);

/** Turns whatever kafkajs threw into one of the classes above. */
export function classifyKafkaError(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const type = protocolTypeOf(error);
  if (type !== undefined && permanentTypes.has(type)) return new KafkaRefusedError(error, type);
  // A broker of an earlier name on the same address is not forbidden; a broker that hangs up is only gone.
  if (chainOf(error).some(({ name }) => permanentNames.has(name))) return new KafkaRefusedError(error, type);
  return new KafkaUnavailableError(error);
}

/** True if the idempotent producer has to be replaced before anything is sent again. */
export function isProducerLost(error: unknown): boolean {
  const type = protocolTypeOf(error);
  return (
    (type !== undefined && producerIsLostTypes.has(type)) ||
    chainOf(error).some(({ message }) => message.includes('producer is disconnected'))
  );
}

/** For metrics and logs: the protocol's name of an error, else a code, else its class. */
export function kindOfKafkaError(error: unknown): string {
  const cause = error instanceof MeshError ? (error.cause ?? error) : error;
  const [first] = chainOf(cause);
  return protocolTypeOf(cause) ?? codeOf(cause) ?? first?.name ?? 'unknown';
}

/** The protocol's name of the error, wherever it stands in the chain of causes. */
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
