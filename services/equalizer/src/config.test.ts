import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  imageLimits,
  kafkaReplication,
  mapReduceLimits,
  nodeName,
  readEqualizerConfig,
  settingsOf,
} from './config.ts';

const good = {
  NODE_ID: '3',
  MESH_SECRET: 'm'.repeat(32),
  ZOOKEEPER_HOSTS: '127.0.0.1:2181',
  KAFKA_BROKERS: '127.0.0.1:9092',
  BLOB_DIR: '/blobs',
};

it('the defaults agree with one another', () => {
  const config = readEqualizerConfig(good);
  assert.equal(nodeName(config), 'equalizer-3');
  assert.equal(mapReduceLimits(config).retentionMs, config.JOB_RETENTION_MS);
  assert.equal(imageLimits(config).fileBytesMax, config.UPLOAD_BYTES_MAX);
});

it('a wildcard address is not announced', () => {
  const everywhere = { ...good, HTTP_HOST: '0.0.0.0' };
  assert.throws(() => readEqualizerConfig(everywhere), /ANNOUNCED_HOST/);
  const config = readEqualizerConfig({ ...everywhere, ANNOUNCED_HOST: 'equalizer-3' });
  assert.equal(settingsOf(config).http.announcedHost, 'equalizer-3');
});

it('records get three copies, or one when there are fewer than three brokers', () => {
  const copies = (brokers: string, more = {}) =>
    kafkaReplication(readEqualizerConfig({ ...good, ...more, KAFKA_BROKERS: brokers }));
  assert.equal(copies('a:1'), 1);
  assert.equal(copies('a:1,b:1'), 1);
  assert.equal(copies('a:1,b:1,c:1,d:1'), 3);
  assert.equal(copies('a:1', { KAFKA_REPLICATION: '3' }), 3);
});

it('all issues between settings are reported at once', () => {
  const bad = {
    ...good,
    WHOLE_IMAGE_PIXELS_MAX: '10',
    PIXELS_MAX: '9',
    JOBS_PER_CALLER_MAX: '9',
    JOBS_OPEN_MAX: '8',
    JOBS_REMEMBERED_MAX: '8',
    STRAGGLER_TIMEOUT_MS: '70000',
    HAND_OVER_TIMEOUT_MS: '20000',
    CRASH_POINT: 'nowhere',
  };
  assert.throws(
    () => readEqualizerConfig(bad),
    /stragglerTimeoutMaxMs[^]*WHOLE_IMAGE_PIXELS_MAX[^]*JOBS_PER_CALLER_MAX[^]*JOBS_REMEMBERED_MAX[^]*HAND_OVER_TIMEOUT_MS[^]*CRASH_POINT/,
  );
});
