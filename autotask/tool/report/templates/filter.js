// The filter box. Without it, all is there to read: it is shown only where scripts run.
const box = document.getElementById("filter");
const found = document.getElementById("found");
const folds = [...document.querySelectorAll("details")].map((fold) => [fold, fold.open]);
const named = [...document.querySelectorAll("tr > th bdi, li > h3 bdi, article > h3 bdi")]
  .filter((name) => !name.closest("small"))
  .map((name) => [name.closest("tr, li, article"), name.textContent.toLowerCase()]);
const counted = [...document.querySelectorAll(".group, details")].map((part) => {
  const count = part.querySelector(part.matches("details") ? "summary" : ".count");
  return [part, count, count.textContent];
});
const tasks = new Set(named.map(([, name]) => name));

function filter() {
  const wanted = box.value.trim().toLowerCase();
  for (const [part, name] of named) part.hidden = !name.includes(wanted);
  for (const [fold, open] of folds) fold.open = wanted ? true : open;
  for (const [part, count, text] of counted) {
    const left = part.querySelectorAll("tbody tr:not([hidden]), li:not([hidden]), article:not([hidden])");
    part.hidden = wanted && !left.length;
    const more = part.matches("details") ? `and ${left.length} more task${left.length === 1 ? "" : "s"}` : left.length;
    count.textContent = wanted ? more : text;
  }
  const count = [...tasks].filter((name) => name.includes(wanted)).length;
  found.textContent = wanted ? `${count} of ${tasks.size} tasks` : "";
}

document.getElementById("search").hidden = false;
document.getElementById("search").addEventListener("submit", (event) => event.preventDefault());
box.addEventListener("input", filter);
if (box.value) filter();
