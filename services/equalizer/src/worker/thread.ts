/** The entry of a worker thread. It performs one task at a time and sends one answer for each. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Answer, ImageTask, ThreadSettings } from './messages.ts';
import { failureOf, perform } from './tasks.ts';

const port = parentPort;
if (port === null) throw new Error('thread.ts is the entry of a worker thread');
const settings = workerData as ThreadSettings;

port.on('message', (task: ImageTask) => {
  const answer: Promise<Answer> = perform(task, settings).then(
    (result) => ({ result }),
    (error: unknown) => ({ failure: failureOf(error) }),
  );
  void answer.then((message) => {
    port.postMessage(message);
  });
});
