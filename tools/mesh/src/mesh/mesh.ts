/** One mesh as its tools see it: its files, its secret and the host of its processes. */
import type { MeshConfig } from '../config.ts';
import { layoutOf, type Layout } from './files/layout.ts';
import { readRunFile, type RunFile } from './files/run-file.ts';
import { readSecret } from './files/secrets.ts';
import { localHost, type ProcessHost } from './host.ts';
import { createMeshHttp, type MeshHttp } from './http.ts';

export interface Mesh {
  name: string;
  config: MeshConfig;
  layout: Layout;
  secret: string;
  http: MeshHttp;
  host: ProcessHost;
  /** The run file as its supervisor wrote it last; undefined before the first start. */
  run(): RunFile | undefined;
}

/** What a command works with: the configuration, and the mesh that `--target compose` opened. */
export interface MeshContext {
  config: MeshConfig;
  /** Undefined if the command is about a mesh of this machine's processes. */
  containers: Mesh | undefined;
}

/**
 * The mesh that a command is about: the one in containers, or the local mesh `name`. It need not
 * run.
 * @throws MeshError `mesh.unknown` if it was never started
 */
export function openMesh({ config, containers }: MeshContext, name: string): Mesh {
  return containers ?? openLocalMesh(config, name);
}

/**
 * Opens the mesh `name` of this machine. It need not run.
 * @throws MeshError `mesh.unknown` if it was never started
 */
export function openLocalMesh(config: MeshConfig, name: string): Mesh {
  const layout = layoutOf(config.home, name);
  const secret = readSecret(layout);
  const http = createMeshHttp(secret);
  return { name, config, layout, secret, http, host: localHost(layout), run: () => readRunFile(layout) };
}
