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
import { retryPauseMs, retryUntil } from './retry.ts';
import { defaultKafkaSettings, kafkaSettingIssues } from './settings.ts';

const fault = (fields: { name?: string; type?: string; retriable?: boolean }, cause?: Error) =>
  Object.assign(new Error('x', cause === undefined ? undefined : { cause }), fields);

describe('errors of Kafka', () => {
  it('errors that kafkajs calls final are retriable if brokers may come back', () => {
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

  it('errors that waiting cannot change are refused at once', () => {
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

  it('an error tells its kind and whether the producer must be replaced', () => {
    assert.ok(isProducerLost(fault({}, fault({ type: 'UNKNOWN_PRODUCER_ID' }))));
    assert.ok(!isProducerLost(fault({ type: 'NOT_ENOUGH_REPLICAS' })));
    assert.equal(kindOfKafkaError(classifyKafkaError(fault({ type: 'NOT_CONTROLLER' }))), 'NOT_CONTROLLER');
    assert.equal(kindOfKafkaError(new TypeError('x')), 'TypeError');
  });
});

describe('trying again', () => {
  const settings = { retryDelayMs: 1, retryDelayMaxMs: 2, requestTimeoutMs: 100 };

  it('retries end with success, the deadline, a refusal or an abort', async () => {
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

  it('pauses grow with each failure, up to a limit', () => {
    const pauses = [0, 1, 2, 3, 99].map((tries) =>
      retryPauseMs({ retryDelayMs: 100, retryDelayMaxMs: 500 }, tries),
    );
    assert.deepEqual(pauses, [100, 200, 400, 500, 500]);
  });
});

it('settings that contradict each other are all named', () => {
  const settings = { ...defaultKafkaSettings, brokers: ['127.0.0.1:1'], clientId: 'test' };
  assert.deepEqual(kafkaSettingIssues(settings), []);
  const bad = {
    ...settings,
    brokers: [],
    clientId: '',
    fetchWaitMs: 60_000,
    sessionTimeoutMs: 1,
    readerStallTimeoutMs: 1,
  };
  assert.equal(kafkaSettingIssues(bad).length, 5);
});
