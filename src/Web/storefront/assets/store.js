// Browser storage that keeps working for one page view when the browser forbids storage (private windows,
// blocked cookies): buying must still work there, only a reload forgets.
function storeOver(area) {
  const memory = new Map();
  return {
    read(key) {
      let text = memory.get(key) ?? null;
      try {
        text = area().getItem(key) ?? text;
      } catch (error) {
        if (!(error instanceof DOMException)) throw error;
      }
      return text === null ? null : JSON.parse(text);
    },
    write(key, value) {
      const text = JSON.stringify(value);
      try {
        area().setItem(key, text);
        memory.delete(key);
      } catch (error) {
        if (!(error instanceof DOMException)) throw error;
        memory.set(key, text);
      }
    },
    remove(key) {
      memory.delete(key);
      try {
        area().removeItem(key);
      } catch (error) {
        if (!(error instanceof DOMException)) throw error;
      }
    },
  };
}

/** Shared by all tabs, outlives the browser: who this visitor is and what they hold. */
export const lasting = storeOver(() => window.localStorage);

/** This tab only, outlives a reload: the purchase that is being tried. */
export const forThisTab = storeOver(() => window.sessionStorage);
