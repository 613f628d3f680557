import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  classifyKafkaError,
  isProducerLost,
  KafkaClosedError,
  KafkaRefusedError,
  KafkaUnavailableError,
  kindOfKafkaError,
} from './errors.ts';
import { pauseOf, retryUntil } from './retry.ts';
import { defaultKafkaSettings, kafkaSettingFaults } from './settings.ts';

const fault = (fields: { name?: string; type?: string; retriable?: boolean }, cause?: Error) =>
  Object.assign(new Error('x', cause === undefined ? undefined : { cause }), fields);

describe('errors of Kafka', () => {
  it('that kafkajs calls final pass all the same when brokers come back', () => {
    const passing = [
      fault({ name: 'KafkaJSNonRetriableError' }, fault({ type: 'GROUP_COORDINATOR_NOT_AVAILABLE' })),
      fault({ name: 'KafkaJSNumberOfRetriesExceeded' }, fault({ type: 'NOT_ENOUGH_REPLICAS' })),
      fault({ name: 'KafkaJSNonRetriableError' }, fault({ name: 'KafkaJSConnectionError' })),
      fault({ type: 'UNKNOWN_TOPIC_OR_PARTITION', retriable: false }),
      fault({ type: 'OUT_OF_ORDER_SEQUENCE_NUMBER', retriable: false }),
      new Error('whatever else'),
    ];
    for (const error of passing) {
      const classified = classifyKafkaError(error);
      assert.ok(classified instanceof KafkaUnavailableError && classified.retriable);
    }
  });

  it('that no waiting changes are refused at once', () => {
    const refused = [
      fault({ type: 'MESSAGE_TOO_LARGE' }),
      fault({ name: 'KafkaJSNonRetriableError' }, fault({ type: 'INVALID_TOPIC_EXCEPTION' })),
      new TypeError('a fault of the program'),
    ];
    for (const error of refused) {
      const classified = classifyKafkaError(error);
      assert.ok(classified instanceof KafkaRefusedError && !classified.retriable);
    }
    assert.equal(classifyKafkaError(fault({ type: 'INVALID_CONFIG' })).code, 'kafka.refused');
  });

  it('tell when the producer must be replaced, and what they are', () => {
    assert.ok(isProducerLost(fault({}, fault({ type: 'UNKNOWN_PRODUCER_ID' }))));
    assert.ok(!isProducerLost(fault({ type: 'NOT_ENOUGH_REPLICAS' })));
    assert.equal(kindOfKafkaError(classifyKafkaError(fault({ type: 'NOT_CONTROLLER' }))), 'NOT_CONTROLLER');
    assert.equal(kindOfKafkaError(new TypeError('x')), 'TypeError');
  });
});

describe('trying again', () => {
  const settings = { retryDelayMs: 1, retryDelayMaxMs: 2 };

  it('goes on until it works, ends at the deadline, at a refusal and when it is called off', async () => {
    const { signal } = new AbortController();
    let tries = 0;
    const third = async () => {
      if (++tries < 3) throw fault({ type: 'NOT_ENOUGH_REPLICAS' });
      return 'done';
    };
    const retries: string[] = [];
    const onRetry = (error: Error) => void retries.push(kindOfKafkaError(error));
    assert.equal(await retryUntil(third, { settings, deadlineMs: 10_000, signal, onRetry }), 'done');
    assert.deepEqual(retries, ['NOT_ENOUGH_REPLICAS', 'NOT_ENOUGH_REPLICAS']);

    const never = async () => {
      throw fault({ type: 'NOT_ENOUGH_REPLICAS' });
    };
    await assert.rejects(retryUntil(never, { settings, deadlineMs: 0, signal }), KafkaUnavailableError);
    const refused = async () => {
      throw fault({ type: 'INVALID_CONFIG' });
    };
    await assert.rejects(retryUntil(refused, { settings, deadlineMs: 10_000, signal }), KafkaRefusedError);
    const aborted = AbortSignal.abort();
    await assert.rejects(retryUntil(third, { settings, deadlineMs: 1, signal: aborted }), KafkaClosedError);
  });

  it('pauses longer each time, up to a limit', () => {
    const pauses = [0, 1, 2, 3, 99].map((tries) =>
      pauseOf({ retryDelayMs: 100, retryDelayMaxMs: 500 }, tries),
    );
    assert.deepEqual(pauses, [100, 200, 400, 500, 500]);
  });
});

it('settings that contradict each other are all named', () => {
  const settings = { ...defaultKafkaSettings, brokers: ['127.0.0.1:1'], clientId: 'test' };
  assert.deepEqual(kafkaSettingFaults(settings), []);
  const bad = {
    ...settings,
    brokers: [],
    clientId: '',
    fetchWaitMs: 60_000,
    sessionTimeoutMs: 1,
    readerStallTimeoutMs: 1,
  };
  assert.equal(kafkaSettingFaults(bad).length, 5);
});
