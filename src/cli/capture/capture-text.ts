import type { CaptureSummary } from './capture.js';
import type { CapturePaths } from './wireshark-folder.js';

/** Whoever makes files with keys is told so. */
export function keyWarning({ keys, file }: CapturePaths): string {
  return `warning: ${keys} will hold keys: whoever has it and ${file} can read the traffic. Delete it when it has served.`;
}

/** What a capture came to, for people. */
export function describeCapture(summary: CaptureSummary): string[] {
  const { file, bytes, interfaces, keys, seconds, endedBy, open, explain } = summary;
  const packets = interfaces.reduce((sum, one) => sum + one.packets, 0);
  return [
    `${file}: ${packets} packets, ${bytes} bytes in ${seconds.toFixed(1)} s; ended by: ${endedBy}`,
    ...interfaces.map(
      ({ name, side, packets: seen, lost }) =>
        `  ${name} (${side}): ${seen} packets${lost === 0 ? '' : `, ${lost} lost because they came too fast`}`,
    ),
    ...(keys === undefined ? [] : keysText(keys)),
    `Open it with: ${open}`,
    `Have it explained: ${explain}`,
  ];
}

function keysText({ folder, ike, esp, extendedSequence }: NonNullable<CaptureSummary['keys']>): string[] {
  return [
    `${folder}: keys of ${ike} main modes and ${esp} ESP SAs`,
    ...(extendedSequence === 0
      ? []
      : [
          `  ${extendedSequence} of them with extended sequence numbers: Wireshark decrypts, but cannot check ICVs`,
        ]),
  ];
}
