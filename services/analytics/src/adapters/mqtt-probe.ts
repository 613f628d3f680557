/**
 * Whether the gateway answers, asked on a connection of its own: a TCP handshake alone proves little, for a kernel or a middlebox
 * completes it although nothing passes any more.
 */
import { nodeUsername } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { connectMqtt, type MqttAddress, type MqttConnection } from './mqtt-connection.ts';

export interface MqttProbe {
  /** PINGREQ, PINGRESP. Rejects if the gateway does not answer within `timeoutMs`. */
  ask(timeoutMs: number): Promise<void>;
  close(): void;
}

/** Its looks are more frequent than any keepalive: the broker only has to forget a node that is gone. */
const keepaliveSeconds = 60;

export function createMqttProbe(address: MqttAddress, nodeId: number, secret: string): MqttProbe {
  let current: MqttConnection | undefined;
  let closed = false;

  async function open(timeoutMs: number): Promise<MqttConnection> {
    const { connection } = await connectMqtt({
      ...address,
      clientId: `node-${nodeId}-probe`,
      username: nodeUsername(nodeId),
      password: deriveToken(secret, subjects.node(nodeId)),
      clean: true,
      keepaliveSeconds,
      timeoutMs,
    });
    void connection.closed.then(() => {
      if (current === connection) current = undefined;
    });
    return connection;
  }

  async function ask(timeoutMs: number): Promise<void> {
    current ??= await open(timeoutMs);
    const asked = current;
    if (closed) return asked.end();
    try {
      const answer = asked.expect('pingresp', timeoutMs);
      asked.send({ cmd: 'pingreq' });
      await answer;
    } catch (error) {
      asked.destroy();
      if (current === asked) current = undefined;
      throw error;
    }
  }

  return {
    ask,
    close: () => {
      closed = true;
      current?.end();
    },
  };
}
