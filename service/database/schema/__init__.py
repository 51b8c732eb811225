"""The tables of the store, beside their indexes; one module a noun."""

from service.database.schema.base import metadata
from service.database.schema.comparisons import comparisons, matches
from service.database.schema.concepts import concept_members, concept_versions, concepts
from service.database.schema.directions import direction_movements, directions
from service.database.schema.equivalents import equivalents
from service.database.schema.interventions import effects, interventions, unit_effects
from service.database.schema.jobs import job_parts, jobs
from service.database.schema.labels import labels
from service.database.schema.maps import unit_map_points, unit_maps
from service.database.schema.probes import (
    SKETCH_DIMENSIONS,
    exemplars,
    probe_images,
    probe_sets,
    profiles,
    sketches,
    unit_statistics,
)
from service.database.schema.texts import probe_masks, text_projections, text_sketches
from service.database.schema.translations import translation_images, translations
from service.database.schema.zoo import layers, models, units

__all__ = [
    "SKETCH_DIMENSIONS",
    "comparisons",
    "concept_members",
    "concept_versions",
    "concepts",
    "direction_movements",
    "directions",
    "effects",
    "equivalents",
    "exemplars",
    "interventions",
    "job_parts",
    "jobs",
    "labels",
    "layers",
    "matches",
    "metadata",
    "models",
    "probe_images",
    "probe_masks",
    "probe_sets",
    "profiles",
    "sketches",
    "text_projections",
    "text_sketches",
    "translation_images",
    "translations",
    "unit_effects",
    "unit_map_points",
    "unit_maps",
    "unit_statistics",
    "units",
]
