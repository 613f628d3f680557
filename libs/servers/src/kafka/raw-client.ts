/**
 * A minimal Kafka client for the tests of this package, which no client library may enter: three
 * requests in their oldest versions (CreateTopics 0, Produce 2 with message format 1, ListOffsets
 * 1), one partition and one record at a time.
 */
import { connect } from 'node:net';
import { crc32 } from 'node:zlib';

const timeoutMs = 30_000;
const noError = 0;

function int(bytes: 1 | 2 | 4 | 8, value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(BigInt(value));
  return buffer.subarray(8 - bytes);
}
const text = (value: string) => Buffer.concat([int(2, value.length), Buffer.from(value)]);
const block = (value: Buffer) => Buffer.concat([int(4, value.length), value]);

async function request(port: number, key: number, version: number, ...body: Buffer[]): Promise<Buffer> {
  const head = [int(2, key), int(2, version), int(4, 1), text('raw')];
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    let received = Buffer.alloc(0);
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('connection closed')));
    socket.once('connect', () => socket.write(block(Buffer.concat([...head, ...body]))));
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      resolve(received.subarray(8));
      socket.destroy();
    });
  });
}

/** Creates a topic of one partition; returns true on success. */
export async function createTopic(port: number, topic: string, copies: number): Promise<boolean> {
  const wanted = Buffer.concat([text(topic), int(4, 1), int(2, copies), int(4, 0), int(4, 0)]);
  const answer = await request(port, 19, 0, int(4, 1), wanted, int(4, timeoutMs));
  return answer.readInt16BE(4 + 2 + topic.length) === noError;
}

/**
 * Sends one record with `acks=all`.
 * @returns the error code of the answer; 0 if the record was stored
 */
export async function produce(port: number, topic: string, value: string): Promise<number> {
  const content = Buffer.concat([
    int(1, 1),
    int(1, 0),
    int(8, Date.now()),
    int(4, -1),
    block(Buffer.from(value)),
  ]);
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(content));
  const messages = Buffer.concat([int(8, 0), block(Buffer.concat([crc, content]))]);
  const partition = Buffer.concat([int(4, 1), int(4, 0), block(messages)]);
  const answer = await request(port, 0, 2, int(2, -1), int(4, timeoutMs), int(4, 1), text(topic), partition);
  return answer.readInt16BE(4 + 2 + topic.length + 4 + 4);
}

/** How many records the leader of the partition has; -1 if this broker does not lead it. */
export async function latestOffset(port: number, topic: string): Promise<number> {
  const partition = Buffer.concat([int(4, 1), int(4, 0), int(8, -1)]);
  const answer = await request(port, 2, 1, int(4, -1), int(4, 1), text(topic), partition);
  const at = 4 + 2 + topic.length + 4 + 4;
  return answer.readInt16BE(at) === noError ? Number(answer.readBigInt64BE(at + 2 + 8)) : -1;
}
