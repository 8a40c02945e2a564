# SPDX-License-Identifier: GPL-3.0-or-later
"""What rigs call their shapes, other than by ARKit's names (names.py): a list of keys a convention. Standard library only.

A *channel* convention splits the face as ARKit does (Reallusion CC3/CC4, Mixamo, Daz); a *pose* convention has a key a
sound (Meta, Microsoft, VRM, Rhubarb, MMD, and the visemes of Reallusion and Daz). Names are compared by ``spelled``: case and
separators do not count, sides in any spelling are "left" and "right". Sources: Reallusion's, Daz's and Mixamo's own exports;
MPFB's FaceService (Microsoft and Meta targets); the VRM 0 and 1 specifications; Rhubarb's documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .names import words


def spelled(name: str) -> str:
    """ "Mouth_Pucker.L" -> "mouthpuckerleft"; names without Latin letters stay as they are."""
    return "".join(words(name)) or name


@dataclass(frozen=True)
class Convention:
    """``keys``: spelled key -> (channel or pose, gain). A pose convention is meant from ``least`` of its poses on."""

    name: str
    keys: dict[str, tuple[str, float]] = field(default_factory=dict)
    least: int = 4


def _sided(table: dict[str, str]) -> dict[str, tuple[str, float]]:
    """ "Smile_{}" -> "mouthSmile{}": both sides; entries without {} as they are."""
    out: dict[str, tuple[str, float]] = {}
    for key, source in table.items():
        for side in ("Left", "Right") if "{}" in key else ("",):
            out[spelled(key.format(side))] = (source.format(side), 1.0)
    return out


def _named(*prefixes: str, **keys: str) -> dict[str, tuple[str, float]]:
    """Every key with every prefix."""
    return {spelled(prefix + key): (source, 1.0) for prefix in prefixes for key, source in keys.items()}


REALLUSION = Convention("Reallusion CC", _sided({
    "Mouth_Funnel_Up_{}": "mouthFunnel", "Mouth_Funnel_Down_{}": "mouthFunnel", "Mouth_Pucker_Up_{}": "mouthPucker",
    "Mouth_Pucker_Down_{}": "mouthPucker", "Mouth_Roll_In_Upper_{}": "mouthRollUpper", "Mouth_Roll_In_Upper": "mouthRollUpper",
    "Mouth_Roll_In_Lower_{}": "mouthRollLower", "Mouth_Roll_In_Lower": "mouthRollLower",
    "Mouth_Down_Lower_{}": "mouthLowerDown{}", "Mouth_Up_Upper_{}": "mouthUpperUp{}", "Brow_Raise_Inner_{}": "browInnerUp",
    "Brow_Raise_Outer_{}": "browOuterUp{}", "Brow_Drop_{}": "browDown{}", "Cheek_Puff_{}": "cheekPuff",
    "Cheek_Blow_{}": "cheekPuff", "Cheek_Raise_{}": "cheekSquint{}", "Eye_{}_Look_Up": "eyeLookUp{}",
    "Eye_{}_Look_Down": "eyeLookDown{}", "Eye_Left_Look_Left": "eyeLookOutLeft", "Eye_Left_Look_Right": "eyeLookInLeft",
    "Eye_Right_Look_Right": "eyeLookOutRight", "Eye_Right_Look_Left": "eyeLookInRight", "Mouth_Lips_Jaw_Adjust": "mouthClose",
}))  # fmt: skip

MIXAMO = Convention("Mixamo", _sided({
    "Blink_{}": "eyeBlink{}", "Squint_{}": "eyeSquint{}", "EyesWide_{}": "eyeWide{}", "BrowsDown_{}": "browDown{}",
    "BrowsUp_{}": "browOuterUp{}", "CheekPuff_{}": "cheekPuff", "NoseScrunch_{}": "noseSneer{}", "Smile_{}": "mouthSmile{}",
    "Frown_{}": "mouthFrown{}", "MouthNarrow_{}": "mouthPucker", "MouthWhistle_NarrowAdjust_{}": "mouthFunnel",
    "Midmouth_{}": "mouth{}", "Jaw_{}": "jaw{}", "JawForeward": "jawForward", "MouthOpen": "jawOpen",
    "LowerLipDown_{}": "mouthLowerDown{}", "UpperLipUp_{}": "mouthUpperUp{}", "LowerLipIn": "mouthRollLower",
    "UpperLipIn": "mouthRollUpper",
}))  # fmt: skip

DAZ = Convention("Daz Genesis", _sided({
    "eCTRLMouthOpen": "jawOpen", "eCTRLJawOpen": "jawOpen", "eCTRLJawOut-In": "jawForward",
    "eCTRLEyesClosed{}": "eyeBlink{}", "eCTRLMouthSmileSimple{}": "mouthSmile{}", "eCTRLMouthFrown{}": "mouthFrown{}",
    "eCTRLLipsPucker": "mouthPucker", "eCTRLCheeksPuff": "cheekPuff", "eCTRLBrowInnerUp": "browInnerUp",
}))  # fmt: skip

_EYES = _sided({"Blink": "blink", "Blink_{}": "eyeBlink{}", "LookUp": "look up", "LookDown": "look down"})

_META = {
    "PP": "PP", "FF": "FF", "TH": "TH", "DD": "DD", "kk": "kk", "CH": "CH", "SS": "SS", "nn": "nn", "RR": "RR", "aa": "aa",
    "E": "E", "I": "I", "ih": "I", "O": "O", "oh": "O", "U": "U", "ou": "U",
}  # fmt: skip
META = Convention("Meta visemes", {
    **_named("viseme_", "v_", "lipsync_", "visemes_", "", **_META),
    **_EYES,
    **_sided({"vrc_Blink": "blink", "Eye_Blink": "blink", "Eyes_Blink": "blink", "eyesClosed": "blink",  # VRChat, Ready Player Me
              "eyesClosed_{}": "eyeBlink{}", "eyesLookUp": "look up", "eyesLookDown": "look down"}),
}, 5)  # fmt: skip

_MICROSOFT = ("", "ah", "aa", "O", "E", "er", "I", "U", "O", "aw", "oy", "ay", "h", "RR", "L", "SS", "CH", "TH", "FF", "DD",
              "kk", "PP")  # fmt: skip
_MPFB = ("sil", "aa_ah_ax", "aa", "ao", "ey_eh_uh", "er", "y_iy_ih_ix", "w_uw", "ow", "aw", "oy", "ay", "h", "r", "l", "s_z",
         "sh_ch_jh_zh", "th_dh", "f_v", "d_t_n", "k_g_ng", "p_b_m")  # fmt: skip
MICROSOFT = Convention("Microsoft visemes", {
    spelled(template.format(i)): (pose, 1.0)
    for i, pose in enumerate(_MICROSOFT) if pose
    for template in ("viseme_{}", "viseme_{:02}", "viseme_id_{}", "v_{}", f"{_MPFB[i]}_{i:02}")
}, 6)  # fmt: skip

VRM = Convention("VRM", {
    **_named("Fcl_MTH_", "MTH_", "mouth_", "vowel_", "", A="aa", I="I", U="U", E="E", O="O"),
    **_named("", "vrm_", "expression_", aa="aa", ih="I", ou="U", ee="E", oh="O"),
    **_sided({"Fcl_EYE_Close": "blink", "Fcl_EYE_Close_{}": "eyeBlink{}", "EYE_Close": "blink", "EYE_Close_{}": "eyeBlink{}"}),
    **_EYES,
})  # fmt: skip

RHUBARB = Convention("Rhubarb", {
    **_named("rhubarb_", "mouth_", "lipsync_", "lips_", "", A="PP", B="SS", C="E", D="aa", E="er", F="U", G="FF", H="L"),
    **_EYES,
}, 5)  # fmt: skip

CC_VISEMES = Convention("Reallusion CC visemes", {
    **_named("V_", "", Open="open", Explosive="PP", Dental_Lip="FF", Tight_O="U", Tight="SS", Wide="I", Affricate="CH",
             Lip_Open="lips apart"),
    **_sided({"Eye_Blink": "blink", "Eyes_Blink": "blink", "Eye_Blink_{}": "eyeBlink{}"}),
})  # fmt: skip

DAZ_VISEMES = Convention("Daz visemes", {
    **_named("eCTRLv", "VSM", "CTRLVSM", "head__eCTRLv", AA="aa", EE="I", EH="E", ER="er", F="FF", IH="I", IY="I", K="kk",
             L="L", M="PP", OW="O", S="SS", SH="CH", T="DD", TH="TH", UW="U", W="U"),
    spelled("eCTRLEyesClosed"): ("blink", 1.0), spelled("eCTRLEyesClosedL"): ("eyeBlinkLeft", 1.0),
    spelled("eCTRLEyesClosedR"): ("eyeBlinkRight", 1.0),
})  # fmt: skip

MMD = Convention("MMD", {
    key: (source, 1.0)
    for key, source in {
        "あ": "aa", "い": "I", "う": "U", "え": "E", "お": "O", "ん": "PP", "まばたき": "blink", "ウィンク": "eyeBlinkLeft",
        "ウィンク右": "eyeBlinkRight",
    }.items()
})  # fmt: skip

CHANNEL_CONVENTIONS = (REALLUSION, MIXAMO, DAZ)
# Of equal ones the first is meant: vowels and eyes alone are VRM's, which has no more.
POSE_CONVENTIONS = (VRM, META, MICROSOFT, CC_VISEMES, DAZ_VISEMES, RHUBARB, MMD)
