/** Finds in the sources which durable state the code has, and which package writes it. */

/** What a name is a name of. */
export type StateKind = 'table' | 'topic' | 'znode' | 'folder' | 'key';

export interface FoundState {
  kind: StateKind;
  /** As the code writes it; a znode is named below the root of its service. */
  name: string;
  /**
   * Folder of the package that writes it, such as `services/billing`; undefined if the place does
   * not say.
   */
  writer: string | undefined;
  place: string;
}

interface Rule {
  kind: StateKind;
  /** Files that the rule reads. */
  files: RegExp;
  /** The first group is the name. */
  pattern: RegExp;
  /** Who writes it, where that is not the package of the file; null if the file does not say. */
  writer?: string | null;
}

const znode = /`\$\{(?:root|path|groupPath)\}\/([A-Za-z][\w-]*)/g;

const rules: readonly Rule[] = [
  // Tables: who creates one owns it, and every statement that changes one has a writer.
  { kind: 'table', files: /^services\/.*\.sql$/, pattern: /\bCREATE TABLE (\w+)/g },
  {
    kind: 'table',
    files: /^(services|libs|apps|tools\/mesh)\/.*\.(sql|ts)$/,
    pattern:
      /\b(?:INSERT INTO|DELETE FROM|TRUNCATE|(?<!FOR |DO |BEFORE |AFTER |OR )UPDATE) ([a-z_]+)\b(?! SET\b *=)/g,
  },
  // Kafka: topics are named by their prefix and a word.
  { kind: 'topic', files: /^(services|libs)\/.*\.ts$/, pattern: /[pP]refix\}\.(\w+)`/g },
  // MQTT: the retained topic by which a coordinator announces itself.
  {
    kind: 'topic',
    files: /^(services|apps)\/.*adapters\/.*\.ts$/,
    pattern: /\btopic: (coordinatorTopic)\b/g,
  },
  // ZooKeeper: a node below the root of its service.
  { kind: 'znode', files: /^services\/.*\.ts$/, pattern: znode },
  // The library of analytics' election names the nodes for its one user.
  {
    kind: 'znode',
    files: /^libs\/zookeeper-election\/.*\.ts$/,
    pattern: znode,
    writer: 'services/analytics',
  },
  // What the operator publishes and the nodes read.
  { kind: 'znode', files: /^libs\/contracts\/.*\.ts$/, pattern: znode, writer: 'tools/mesh' },
  // Files: the layout of a mesh's folder names them all.
  { kind: 'folder', files: /^tools\/mesh\/.*\.ts$/, pattern: /\binside\('([^']+)'/g, writer: null },
  // Redis: the prefix of the queue's keys.
  { kind: 'key', files: /^services\/.*\/bull-[\w-]+\.ts$/, pattern: /^const prefix = '([^']+)'/gm },
];

/** Words of SQL that stand where a name could. */
const noNames = new Set(['set', 'on', 'of', 'the', 'a', 'only', 'nothing']);

/** @param files the sources of production code; `read` returns the text of one */
export function findState(files: readonly string[], read: (file: string) => string): FoundState[] {
  return files.flatMap((file) => {
    const applicable = rules.filter((rule) => rule.files.test(file));
    if (applicable.length === 0) return [];
    const text = read(file);
    return applicable.flatMap(({ kind, pattern, writer = file.split('/').slice(0, 2).join('/') }) =>
      [...text.matchAll(pattern)].flatMap((match) => {
        const name = match[1] ?? '';
        if (kind === 'table' && noNames.has(name)) return [];
        const line = text.slice(0, match.index).split('\n').length;
        return [{ kind, name, writer: writer ?? undefined, place: `${file}:${line}` }];
      }),
    );
  });
}
