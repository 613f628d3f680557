/** Several operations that one request carries out: all or none. */
import { openAcl } from './acl.ts';
import type { Connection } from './connection.ts';
import { anyVersion, modeFlags, toLibraryAcl, toStat, toZooKeeperError } from './library.ts';
import type { Operation, OperationResult } from './types.ts';

const empty = Buffer.alloc(0);

/**
 * Sends the operations as one request.
 * @throws ZooKeeperError the error of the first operation that failed
 */
export async function commit(
  connection: Connection,
  operations: readonly Operation[],
): Promise<OperationResult[]> {
  const transaction = transactionOf(connection, operations);
  const paths = operations.map(({ path }) => path).join(' ');
  return connection.request<OperationResult[]>('multi', paths, (callback) =>
    transaction.commit((error, results: { path?: string; stat?: Parameters<typeof toStat>[0] }[]) => {
      if (error) return callback(toZooKeeperError(error, 'multi', paths));
      const readable = results.map(({ path, stat }) => ({
        ...(path === undefined ? {} : { path }),
        ...(stat === undefined ? {} : { stat: toStat(stat) }),
      }));
      callback(undefined, readable);
    }),
  );
}

function transactionOf(connection: Connection, operations: readonly Operation[]) {
  const transaction = connection.transaction();
  for (const operation of operations) {
    switch (operation.type) {
      case 'create': {
        const { path, data = empty, acl = openAcl, mode = 'persistent' } = operation;
        transaction.create(path, data, toLibraryAcl(acl), modeFlags[mode]);
        continue;
      }
      case 'delete':
        transaction.remove(operation.path);
        break;
      case 'set':
        transaction.setData(operation.path, operation.data);
        break;
      case 'check':
        transaction.check(operation.path);
        break;
    }
    // The library reads version 0 as "any", so it is set on its operation directly.
    const last = transaction.ops.at(-1);
    if (last !== undefined) last.version = operation.version ?? anyVersion;
  }
  return transaction;
}
