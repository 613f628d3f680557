export type { TokenOf } from './handshake.ts';
export { defaultPeerLimits, peerLimitIssues, type PeerLimits } from './limits.ts';
export { createPeerLinks, peersPath } from './peer-links.ts';
export type { PeerLinkEvent, PeerLinks, PeerLinksOptions } from './peer-links.ts';
