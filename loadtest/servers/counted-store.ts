/** A store whose calls are counted. */
export type CountedStore<T extends object> = Readonly<{ store: T; calls(): number }>;

export function countedStore<T extends object>(store: T): CountedStore<T> {
  let calls = 0;
  const counting = new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        calls++;
        return Reflect.apply(member, target, args);
      };
    },
  });
  return { store: counting, calls: () => calls };
}
