export * from './access.ts';
export {
  apiKeyState,
  createApiKey,
  readApiKeys,
  revokeApiKey,
  rotateApiKey,
  type ApiKey,
  type ApiKeyOptions,
  type ApiKeyState,
} from './api-keys.ts';
export * from './async.ts';
export * from './config.ts';
export * from './crash-points.ts';
export * from './durable-folder.ts';
export {
  codeOf,
  defineErrors,
  MeshError,
  messageOf,
  startErrorText,
  type ErrorCode,
  type MeshErrorOptions,
} from './errors.ts';
export * from './health.ts';
export * from './http.ts';
export { keyUsePrecisionMs, readKeyUses } from './key-uses.ts';
export * from './lifecycle.ts';
export * from './log.ts';
export * from './metrics.ts';
export * from './misspelt.ts';
export * from './nearest-name.ts';
export * from './paging.ts';
export * from './polling-watch.ts';
export * from './ports.ts';
export { HttpError, type ParameterIssue, type ProblemOptions } from './problems.ts';
export { currentRequestId, passedOnRequestId, withRequestId } from './request-context.ts';
export * from './scopes.ts';
export * from './sealing.ts';
export * from './setting-names.ts';
export * from './settings.ts';
export * from './slots.ts';
