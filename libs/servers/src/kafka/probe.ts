/**
 * Asks a Kafka broker for the state of its cluster, in its own protocol (Metadata, version 1).
 */
import { connect } from 'node:net';

/** The answer of a broker that serves clients. */
export interface KafkaState {
  brokerIds: number[];
  /** -1 while there is no controller. */
  controllerId: number;
}

const metadataKey = 3;
const metadataVersion = 1;
const correlationId = 1;

/**
 * The broker's view of its cluster; undefined if no broker listens, no answer comes in time, or the
 * broker does not serve clients yet.
 */
export async function probeKafka(port: number, timeoutMs: number): Promise<KafkaState | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let received = Buffer.alloc(0);
    const finish = (state: KafkaState | undefined) => {
      socket.destroy();
      resolve(state);
    };
    socket.setTimeout(timeoutMs, () => finish(undefined));
    socket.once('error', () => finish(undefined));
    socket.once('close', () => finish(undefined));
    socket.once('connect', () => socket.write(metadataRequest()));
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
        finish(parseMetadata(received.subarray(4)));
      }
    });
  });
}

/** Header version 1 (key, version, correlation id, client id), then an empty list of topics. */
function metadataRequest(): Buffer {
  const clientId = Buffer.from('probe');
  const request = Buffer.alloc(4 + 2 + 2 + 4 + 2 + clientId.length + 4);
  let at = request.writeInt32BE(request.length - 4, 0);
  at = request.writeInt16BE(metadataKey, at);
  at = request.writeInt16BE(metadataVersion, at);
  at = request.writeInt32BE(correlationId, at);
  at = request.writeInt16BE(clientId.length, at);
  at += clientId.copy(request, at);
  request.writeInt32BE(0, at);
  return request;
}

/**
 * Reads correlation id, brokers (id, host, port, rack) and controller id. The topics behind them
 * were not requested.
 */
export function parseMetadata(bytes: Buffer): KafkaState {
  let at = 4;
  const int32 = () => bytes.readInt32BE((at += 4) - 4);
  const skipText = () => {
    const length = bytes.readInt16BE(at);
    at += 2 + Math.max(0, length);
  };
  const brokerIds: number[] = [];
  for (let left = int32(); left > 0; left -= 1) {
    brokerIds.push(int32());
    skipText();
    int32();
    skipText();
  }
  return { brokerIds: brokerIds.sort((a, b) => a - b), controllerId: int32() };
}
