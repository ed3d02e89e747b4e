/**
 * What another format cannot say, or what was understood otherwise than written. Kept as data, so that nothing is lost
 * in silence.
 */
export interface PolicyNote {
  /** `dropped` is missing afterwards, `changed` is there in another form, `advice` is what else to do or to know. */
  readonly kind: 'dropped' | 'changed' | 'advice';
  /** `policy 'Lab', rule 'Peer'`. */
  readonly where: string;
  /** What happened, a sentence without a full stop. */
  readonly text: string;
}

export function printNote({ kind, where, text }: PolicyNote): string {
  return `${kind === 'advice' ? 'note' : 'warning'}: ${where}: ${text}`;
}

/** Collects notes about places that lie within one another. */
export class NoteBook {
  readonly #notes: PolicyNote[];
  readonly where: string;

  constructor(where = '', notes: PolicyNote[] = []) {
    this.where = where;
    this.#notes = notes;
  }

  /** All notes so far, of every place. Each is said once. */
  get notes(): readonly PolicyNote[] {
    const seen = new Set<string>();
    return this.#notes.filter(note => {
      const text = `${note.where}\n${note.text}`;
      return !seen.has(text) && seen.add(text);
    });
  }

  /** A book for a place in this one; it adds to the same notes. */
  in(place: string): NoteBook {
    return new NoteBook(this.where === '' ? place : `${this.where}, ${place}`, this.#notes);
  }

  add(kind: PolicyNote['kind'], text: string): void {
    this.#notes.push({ kind, where: this.where, text });
  }
}
