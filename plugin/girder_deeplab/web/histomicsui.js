// Additions to HistomicsUI: a link to the page of the open slide's folder, marks of corrected layers,
// and where to annotate next. Where HistomicsUI lacks what they hold on to, they are left out.
(() => {
  const girder = window.girder;
  const Selector = girder?.plugins?.histomicsui?.panels?.AnnotationSelector;
  if (!Selector?.prototype.render) return;
  const WRITE = girder.constants.AccessType.WRITE;
  const NEXT_REGIONS = 5;
  const NEXT_LAYER = "annotate next";  // of the squares in which layers of its run are corrected

  /** An element with properties, a style and children; text is never markup. */
  function make(tag, given = {}, style = {}, ...children) {
    const element = Object.assign(document.createElement(tag), given);
    Object.assign(element.style, style);
    element.append(...children);
    return element;
  }

  const say = (text, type) => girder.events.trigger("g:alert", { text, type, timeout: 10000 });

  /** Asks the server, and says what it answers where it refuses. */
  async function call(method, path, params) {
    try {
      return await girder.rest.restRequest({ method, url: `deeplab/${path}`, data: params, error: null });
    } catch (refused) {
      say(refused.responseJSON?.message ?? "The server does not answer.", "danger");
      return null;
    }
  }

  function button(text, title, work) {
    const onclick = async (event) => {
      event.stopPropagation();
      event.currentTarget.disabled = true;
      await work();
    };
    return make("button", { type: "button", className: "btn btn-default btn-xs", title, onclick }, {}, text);
  }

  // The link, beside the menu of analyses.

  function showLink(slide) {
    document.querySelector(".h-deeplab-link")?.remove();
    const menu = document.querySelector(".h-analyses-wrapper");
    if (!slide?.get("folderId") || !menu) return;
    const address = `${girder.rest.getApiRoot()}/deeplab/page?${new URLSearchParams({ folderId: slide.get("folderId") })}`;
    const title = "Models, batches and training, for the folder of this slide";
    const link = make("a", { href: address, target: "_blank", title }, {}, "DeepLab");
    menu.before(make("li", { className: "h-deeplab-link" }, {}, link));
  }

  // Marks, a line below each layer in the list of annotations.

  function markOf(layer) {
    const mark = layer.get("annotation")?.attributes?.corrected;
    return typeof mark === "object" ? mark : null;  // people may write there what they like
  }

  function markLine(selector, layer) {
    const mark = markOf(layer);
    const within = mark?.within || layer.name() === NEXT_LAYER ? " within the squares" : "";
    const line = make("div", { className: "h-deeplab-mark" }, { clear: "both", margin: "3px 0 3px 20px", fontSize: "12px" });
    const change = (text, title) => button(text, title, () => setMark(selector, layer, !mark));
    const may = layer.get("_accessLevel") >= WRITE;
    if (mark) {
      const day = new Date(mark.at).toLocaleDateString(undefined, { dateStyle: "medium" });
      line.append(`Corrected${within} by ${mark.by}, ${day} `);
      if (may) line.append(change("Undo", "Take the mark off"));
    } else if (may) {
      line.append(change(`Mark as corrected${within}`, "Trainings on corrections learn from what is marked"));
    }
    return line;
  }

  async function setMark(selector, layer, corrected) {
    // What HistomicsUI saves has no mark yet, and would take it off.
    while (selector.el.classList.contains("saving")) await new Promise((done) => { setTimeout(done, 100); });
    const told = await call("PUT", `annotation/${layer.id}/corrected`, { corrected });
    for (const id of told?.layers ?? []) keepMark(selector.collection.get(id), told.corrected);
    selector.render();
  }

  /** Puts a mark into the copy of a layer that HistomicsUI has, and sends when it saves the layer again. */
  function keepMark(layer, mark) {
    const annotation = layer?.get("annotation");
    if (!annotation) return;
    const { corrected: _, ...attributes } = annotation.attributes ?? {};
    const said = mark && Object.fromEntries(Object.entries(mark).filter(([, value]) => value));
    annotation.attributes = said ? { ...attributes, corrected: said } : attributes;
  }

  // Where to annotate next, below the list.

  function nextButton(selector) {
    const title = "Segments this slide with the default model of its folder, and draws squares where that is least sure";
    const style = { clear: "both", paddingTop: "6px", textAlign: "right" };
    return make("div", { className: "h-deeplab-next" }, style, button("Where to annotate next?", title, async () => {
      await startNext(selector.parentItem);
      selector.render();
    }));
  }

  async function startNext(slide) {
    const options = { next_regions: NEXT_REGIONS };
    const batch = await call("POST", "segment", { itemIds: JSON.stringify([slide.id]), options: JSON.stringify(options) });
    if (batch) say(`${batch.title} has started. The squares come as the layer "${NEXT_LAYER}".`, "success");
  }

  function showControls(selector) {
    for (const row of selector.el.querySelectorAll(".h-annotation[data-id]")) {
      const layer = selector.collection.get(row.dataset.id);
      if (layer) row.append(markLine(selector, layer));
    }
    if (girder.auth.getCurrentUser()) selector.el.querySelector(".s-panel-content")?.append(nextButton(selector));
  }

  /** Does it, or leaves it out where HistomicsUI is not as it was. */
  const trying = (work) => (given) => {
    try { work(given); } catch (error) { console.warn("DeepLab:", error); }
  };

  girder.utilities.PluginUtils.wrap(Selector, "render", function (render) {
    render.call(this);
    trying(showControls)(this);
    return this;
  });
  girder.events.on("h:imageOpened", trying(showLink));
})();
