/** The engine's public face. */
export type * from './driver/api.js';
export type * from './ike/api.js';
export type * from './policy/model.js';
export * from './report/errors.js';
