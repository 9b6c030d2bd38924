"""What a person would see or miss on a page: faint text, jumps, controls that the keyboard does not reach."""

# Runs before a page's own scripts.
WATCH_JUMPS = """
    window.jumps = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.jumps.push(entry.value);
    }).observe({ type: "layout-shift", buffered: true });
"""

# Texts with less contrast than WCAG 2 asks for (1.4.3); what is disabled or not drawn is left out.
_FAINT = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    const linear = [r, g, b].map((c) => (c <= 10 ? c / 3294 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return { alpha: a, light: 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] };
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.alpha === 1) return colour.light;
      if (colour.alpha > 0) throw new Error("a translucent background");
    }
    return 1;
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest(":disabled")) continue;
    const style = getComputedStyle(node);
    const inks = [style.color, ...(node instanceof SVGElement ? [style.fill] : [])];
    const [one, two] = [parse(inks.at(-1)).light, ground(node)].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (two + 0.05);
    if (contrast < 4.5) found.add(`${walker.currentNode.data.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return [...found];
}"""

# What reaches beyond its panel.
_SPILLING = """() => [...document.querySelectorAll(".panel *")].filter((node) => {
  const [box, panel] = [node.getBoundingClientRect(), node.closest(".panel").getBoundingClientRect()];
  return node.checkVisibility() && !node.closest("svg") && box.right > panel.right;
}).map((node) => `${node.tagName} ${node.className}`)"""

# All that takes the focus, in the order of the document; of radio buttons only the one that is chosen, of code what is
# wider than its box and can be scrolled by the arrow keys.
_NUMBER_CONTROLS = """() => {
  const candidates = document.querySelectorAll("a[href], button, input, select, textarea, [tabindex], pre, table");
  return [...candidates].filter((node) => {
    if (!node.checkVisibility() || node.matches(":disabled")) return false;
    const scrolls = getComputedStyle(node).overflowX === "auto" && node.scrollWidth > node.clientWidth;
    if (node.matches("pre, table")) return scrolls;
    return node.type !== "radio" || node.checked;
  }).map((node, number) => {
    node.dataset.number = number;
    return `${node.tagName} ${node.className} ${node.textContent.trim()}`.slice(0, 60);
  });
}"""

# The control with the focus: its number, whether a ring shows it, and whether something lies over it.
_FOCUSED = """() => {
  const node = document.activeElement;
  const style = getComputedStyle(node);
  const box = node.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, innerHeight) / 2);
  return {
    number: Number(node.dataset.number ?? -1),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    free: top !== null && (node.contains(top) || top.contains(node)),
  };
}"""


def look_over(page):
    """What every page must be in every theme and width, after what a test has done to it."""
    # The sum of Chromium's layout shifts: 0.1 counts as good, and another font may break a line elsewhere.
    assert sum(page.evaluate("window.jumps")) < 0.03, "the page jumped"
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page is too wide"
    assert page.evaluate(_SPILLING) == []
    assert page.evaluate(_FAINT) == []


def walk_by_tab(page):
    """Press Tab until the walk ends, then walk back: (all controls, those that got the focus, complaints)."""
    controls = page.evaluate(_NUMBER_CONTROLS)
    reached, complaints = [], []
    for key in ["Tab"] * len(controls) + ["Shift+Tab"] * (len(controls) - 1):
        page.keyboard.press(key)
        focused = page.evaluate(_FOCUSED)
        reached.append(focused["number"])
        name = controls[focused["number"]]
        complaints += [f"{name}: {what}" for what in ("ring", "free") if not focused[what]]
    return controls, reached, complaints


def nameless(page):
    """What takes the focus and has no name for a screen reader, as Chromium's own accessibility tree has it."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    focusable = [
        node
        for node in nodes
        if not node["ignored"]
        and any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", ()))
        and node["role"]["value"] not in ("RootWebArea", "option", "MenuListPopup")
    ]
    assert focusable
    return [node for node in focusable if not node.get("name", {}).get("value", "").strip()]
