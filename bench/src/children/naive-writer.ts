/**
 * The obvious consumer: mqtt.js with a persistent session, and one INSERT for each reading before
 * it is acknowledged.
 */
import { drainFilter } from '@thermomesh/contracts';
import { createPool } from '@thermomesh/sql';
import { connectAsync } from 'mqtt';
import { serve } from './serve.ts';

/** A separate table with the same key as `readings`. */
const createTable = `CREATE TABLE IF NOT EXISTS naive_readings (
  device_id text NOT NULL, seq bigint NOT NULL, measured_at timestamptz NOT NULL, celsius real NOT NULL,
  committed_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (device_id, seq))`;
const insert = `INSERT INTO naive_readings (device_id, seq, measured_at, celsius)
  VALUES ($1, $2, to_timestamp($3::double precision / 1000), $4) ON CONFLICT DO NOTHING`;

interface StartArgs {
  port: number;
  databaseUrl: string;
}

interface NaiveReading {
  deviceId: string;
  seq: number;
  measuredAt: number;
  celsius: number;
}

serve({
  async start({ port, databaseUrl }: StartArgs) {
    const pool = createPool({ url: databaseUrl, applicationName: 'bench-naive', connectionsMax: 1 });
    await pool.query(createTable);
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: 'bench-naive', clean: false });
    // mqtt.js sends the PUBACK when `done` is called.
    client.handleMessage = (packet, done) => {
      const { deviceId, seq, measuredAt, celsius } = JSON.parse(packet.payload.toString()) as NaiveReading;
      pool.query(insert, [deviceId, seq, measuredAt, celsius], 'naive_insert').then(() => done(), done);
    };
    await client.subscribeAsync(drainFilter, { qos: 1 });
  },
});
