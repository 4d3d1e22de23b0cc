"""Several users on one band: what each picture gains by channel uses, energy and bits, and how they are divided.

report ─ QualityCurve (expected PSNR of one user) ─┐
report ─ QualityCurve ─────────────────────────────┼─ share: equal, max_min, proportional, max_sum ─▶ Share of each user
report ─ QualityCurve ─────────────────────────────┘

Bandwidth division for several users is the future work that the paper names. Imports codec and quantize; no runtime.
"""

from semstream.sharing.curve import QualityCurve
from semstream.sharing.division import Band, Share, SharingError, share
from semstream.sharing.report import Report, ReportError
from semstream.sharing.rules import RULES, Rule

__all__ = ["RULES", "Band", "QualityCurve", "Report", "ReportError", "Rule", "Share", "SharingError", "share"]
