/** Publishes who coordinates as a retained message at the gateway. */
import { coordinatorTopic, nodeUsername, type CoordinatorAnnouncement } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { connectMqtt, type MqttAddress } from './mqtt-connection.ts';

/**
 * Publishes the announcement at QoS 1 on a connection of its own.
 * @throws MeshError `mqtt.*`, retriable
 */
export async function announce(
  address: MqttAddress,
  secret: string,
  announcement: CoordinatorAnnouncement,
  timeoutMs: number,
): Promise<void> {
  const { node } = announcement;
  const { connection } = await connectMqtt({
    ...address,
    clientId: `node-${node}-announcer`,
    username: nodeUsername(node),
    password: deriveToken(secret, subjects.node(node)),
    clean: true,
    keepaliveSeconds: 30,
    timeoutMs,
  });
  try {
    const puback = connection.expect('puback', timeoutMs);
    const payload = JSON.stringify(announcement);
    connection.send({
      cmd: 'publish',
      topic: coordinatorTopic,
      payload,
      qos: 1,
      retain: true,
      messageId: 1,
      dup: false,
    });
    await puback;
  } finally {
    connection.end();
  }
}
