/** The engine's public face: what a library user imports. */

export { Agent, type AgentDependencies, type AgentEvent } from './agent/agent.js';
export { systemClock } from './agent/clock.js';
export { NegotiationError } from './agent/failure.js';
export { parseTunnel, type TunnelDocument } from './agent/tunnel.js';
export { tunnelSource } from './agent/tunnel-source.js';
export type * from './driver/api.js';
export { UserspaceDriver } from './driver/userspace/driver.js';
export type * from './ike/api.js';
export { IkeEngine } from './ike/engine.js';
export type * from './policy/model.js';
export * from './report/errors.js';
