/** Whose request it is: an API key's, or one that the gateway passes on and answers for. */
import { callerHeader } from '@thermomesh/contracts';
import {
  bearerOf,
  createCallerGatekeeper,
  createGatekeeper,
  HttpError,
  type Gatekeeper,
  type HttpRequest,
} from '@thermomesh/runtime';

export interface AccessOptions {
  /** The mesh's: tokens are derived from it. */
  secret: string;
  /** Hashes of API keys. */
  apiKeysFile: string | undefined;
  onDamagedKeys?: (lines: number) => void;
}

export interface Access {
  gatekeeper: Gatekeeper;
  /** The owner of what the request makes and may see. @throws HttpError 400, 401 */
  callerOf(request: HttpRequest): string;
}

const gateway = 'gateway';
/** As long as a submission may carry, and nothing that could be two headers. */
const callerPattern = /^[\x21-\x7e]{1,128}$/;

export function createAccess({ secret, apiKeysFile, onDamagedKeys }: AccessOptions): Access {
  const keys = createGatekeeper(secret, apiKeysFile, onDamagedKeys);
  const services = createCallerGatekeeper(secret, { [gateway]: ['images'] });
  return {
    gatekeeper: { scopesOf: (bearer) => services.scopesOf(bearer) ?? keys.scopesOf(bearer) },
    callerOf(request) {
      const bearer = bearerOf(request);
      if (services.callerOf(bearer) === gateway) return passedOn(request);
      const caller = keys.callerOf(bearer);
      if (caller === undefined) throw new HttpError(401, 'access.unknown_key', 'this key names no caller');
      return caller;
    },
  };
}

/** From anybody but the gateway the header means nothing: it is not even looked at. */
function passedOn(request: HttpRequest): string {
  const caller = request.headers[callerHeader];
  if (typeof caller === 'string' && callerPattern.test(caller)) return caller;
  throw new HttpError(400, 'access.no_caller', `the gateway says in ${callerHeader} whose request it is`);
}
