/**
 * What the form of a kernel states of a launch beside its code, and what follows from it for a card that
 * isn't here: how many 32-byte sectors a load of neighbouring lanes touches, how many of them meet in a
 * bank of workgroup memory, what a lane holds in registers.
 */

/** A large card, as its makers publish it (H100, H200): compute units, lanes that run in step, banks of
 * workgroup memory (of 4 bytes), bytes of a sector. */
export const card = { units: 132, subgroup: 32, banks: 32, sectorBytes: 32 } as const;

/** The H200's published rates in f32, a fast link, and what a launch is taken to cost. */
export const cardRates = {
  flops: 67e12,
  bytesPerSecond: 4.8e12,
  linkBytesPerSecond: 50e9,
  launchSeconds: 3e-6,
} as const;

/** A load or store in a kernel's inner loop. */
export interface Access {
  what: string;
  memory: "storage" | "workgroup";
  /** Bytes of a lane's part. */
  bytes: 4 | 8 | 16;
  /** The byte where a lane's part begins, in one turn of the loop; from anywhere. */
  at: (lane: number) => number;
}

export interface KernelFacts {
  /** The kernel's form and tile. */
  form: string;
  /** Lanes of a workgroup. */
  lanes: number;
  /** Numbers of 32 bits that a lane holds at once in its inner loop: an estimate. */
  registers: number;
  /** Bytes of its workgroup memory (0). */
  workgroupBytes?: number;
  accesses: readonly Access[];
  /** Bytes of K and V that all its loads ask for: once per workgroup where they are shared there, once
   * per 32 lanes where they aren't. Caches may serve a part of them. */
  historyBytes?: number;
  /** Why it may miss a bar, by the bar's name. */
  reasons?: Readonly<Record<string, string>>;
}

const lanesInStep = ({ lanes }: KernelFacts) =>
  Array.from({ length: Math.min(lanes, card.subgroup) }, (_, lane) => lane);

/** Sectors that a load or store of neighbouring lanes touches in storage, and the part of their bytes
 * that the lanes use (0 to 1). */
export function sectors(
  facts: KernelFacts,
  { bytes, at }: Access,
): { count: number; used: number } {
  const { sectorBytes } = card;
  const starts = new Set(lanesInStep(facts).map(at));
  const touched = new Set<number>();
  for (const start of starts) {
    for (let byte = start; byte < start + bytes; byte += 4) {
      touched.add(Math.floor(byte / sectorBytes));
    }
  }
  return {
    count: touched.size,
    used: Math.min(1, (starts.size * bytes) / (touched.size * sectorBytes)),
  };
}

/** Different words of one bank that a turn of workgroup memory must serve one after the other: 1 is
 * no conflict. Loads of 16 bytes are served to 8 lanes at a time, of 8 bytes to 16. */
export function bankConflicts(facts: KernelFacts, { bytes, at }: Access): number {
  const lanes = lanesInStep(facts);
  const inTurn = (card.banks * 4) / bytes;
  let most = 1;
  for (let first = 0; first < lanes.length; first += inTurn) {
    const words = new Set(
      lanes.slice(first, first + inTurn).flatMap((lane) =>
        Array.from({ length: bytes / 4 }, (_, i) => at(lane) / 4 + i)
      ),
    );
    const banks = new Map<number, number>();
    for (const word of words) {
      const bank = ((word % card.banks) + card.banks) % card.banks;
      banks.set(bank, (banks.get(bank) ?? 0) + 1);
    }
    most = Math.max(most, ...banks.values());
  }
  return most;
}
