"""Which key is which, by the names that rigs really have."""

from __future__ import annotations

import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.poses import POSES, vector
from ptalker_blender.scene.conventions import CHANNEL_CONVENTIONS, MICROSOFT, POSE_CONVENTIONS
from ptalker_blender.scene.rig_map import Row, map_rig

META = "sil PP FF TH DD kk CH SS nn RR aa E I O U".split()
MPFB = ("aa_02 aa_ah_ax_01 ao_03 aw_09 ay_11 d_t_n_19 er_05 ey_eh_uh_04 f_v_18 h_12 k_g_ng_20 l_14 ow_08 oy_10 p_b_m_21 "
        "r_13 sh_ch_jh_zh_16 sil_00 s_z_15 th_dh_17 w_uw_07 y_iy_ih_ix_06").split()  # fmt: skip
VROID = [f"Face.M_F00_000_00_Fcl_MTH_{v}" for v in "AIUEO"] + ["Face.M_F00_000_00_Fcl_EYE_Close"]
DAZ = ["eCTRLv" + v for v in "AA EE EH ER F IH IY K L M OW S SH T TH UW W".split()]
CC4 = """Brow_Raise_Inner_L Brow_Raise_Inner_R Brow_Drop_L Eye_Blink_L Eye_Blink_R Eye_L_Look_L Eye_R_Look_L Nose_Sneer_L
 Cheek_Puff_L Cheek_Puff_R Mouth_Smile_L Mouth_Smile_R Mouth_Frown_L Mouth_Stretch_L Mouth_Dimple_L Mouth_Press_L
 Mouth_Pucker_Up_L
 Mouth_Pucker_Up_R Mouth_Pucker_Down_L Mouth_Pucker_Down_R Mouth_Funnel_Up_L Mouth_Funnel_Up_R Mouth_Funnel_Down_L
 Mouth_Funnel_Down_R
 Mouth_Roll_In_Upper_L Mouth_Roll_In_Upper_R Mouth_Roll_In_Lower_L Mouth_Roll_In_Lower_R Mouth_Up_Upper_L Mouth_Down_Lower_L
 Mouth_Close Mouth_L Jaw_Open Jaw_Forward Jaw_L V_Open V_Explosive V_Dental_Lip V_Tight_O V_Tight V_Wide V_Affricate""".split()
MIXAMO = """Blink_Left Blink_Right BrowsDown_Left CheekPuff_Left Frown_Left JawForeward Jaw_Down Jaw_Left LowerLipDown_Left
 LowerLipDown_Right LowerLipIn LowerLipOut Midmouth_Left MouthNarrow_Left MouthNarrow_Right MouthOpen MouthUp
 MouthWhistle_NarrowAdjust_Left NoseScrunch_Left Smile_Left Smile_Right Squint_Left UpperLipIn UpperLipUp_Left""".split()

SETS = {
    "meta": (["viseme_" + v for v in META], "Meta visemes", {"viseme_aa": "aa", "viseme_U": "U"}),
    "vrchat": (["vrc.v_" + v for v in "pp ff th dd kk ch ss nn rr aa e ih oh ou".split()], "Meta visemes",
               {"vrc.v_ih": "I", "vrc.v_pp": "PP"}),
    "vrchat eyes": (["vrc.v_" + v for v in "pp ff th dd kk aa".split()] + ["vrc.blink_left", "vrc.blink_right", "blink"],
                    "Meta visemes", {"blink": "blink", "vrc.blink_left": "eyeBlinkLeft", "vrc.blink_right": "eyeBlinkRight"}),
    "ready player me": (["viseme_" + v for v in META] + ["mouthOpen", "eyesClosed", "eyesLookUp", "eyesLookDown"],
                        "Meta visemes", {"eyesClosed": "blink", "eyesLookUp": "look up", "eyesLookDown": "look down"}),
    "plain meta": (META, "Meta visemes", {"aa": "aa"}),
    "mpfb": (MPFB, "Microsoft visemes", {"p_b_m_21": "PP", "l_14": "L", "aa_02": "aa"}),
    "azure": ([f"viseme_{i}" for i in range(22)], "Microsoft visemes", {"viseme_21": "PP", "viseme_2": "aa"}),
    "vrm0": ([*"AIUEO", "Blink", "Blink_L", "Joy"], "VRM", {"A": "aa", "Blink": "blink", "Blink_L": "eyeBlinkLeft"}),
    "vrm1": (["aa", "ih", "ou", "ee", "oh", "blink", "lookUp"], "VRM", {"ee": "E", "lookUp": "look up"}),
    "vrm1 in part": (["aa", "ih", "ou", "oh", "blink"], "VRM", {"ih": "I", "blink": "blink"}),
    "vroid": (VROID, "VRM", {VROID[0]: "aa", VROID[5]: "blink"}),
    "rhubarb": (list("ABCDEFGHX"), "Rhubarb", {"A": "PP", "D": "aa"}),
    "rhubarb prefixed": (["mouth_" + v for v in "ABCDEFGHX"], "Rhubarb", {"mouth_G": "FF"}),
    "daz": (DAZ, "Daz visemes", {"eCTRLvM": "PP", "eCTRLvL": "L"}),
    "daz prefixed": (["Genesis8Female__" + n for n in DAZ], "Daz visemes", {"Genesis8Female__eCTRLvM": "PP"}),
    "cc3": (["Open", "Explosive", "Dental_Lip", "Tight-O", "Tight", "Wide", "Affricate", "Lip_Open", "Eye_Blink"],
            "Reallusion CC visemes", {"Tight-O": "U", "Eye_Blink": "blink"}),
    "mmd": (["あ", "い", "う", "え", "お", "まばたき", "笑い"], "MMD", {"い": "I", "まばたき": "blink"}),
    "mixamo": (MIXAMO, "Mixamo", {"MouthOpen": "jawOpen", "Smile_Left": "mouthSmileLeft", "LowerLipIn": "mouthRollLower"}),
    "mixamo prefixed": (["Facial_Blends." + n for n in MIXAMO], "Mixamo", {"Facial_Blends.Smile_Left": "mouthSmileLeft"}),
    "cc4": (CC4, "Reallusion CC", {"Jaw_Open": "jawOpen", "Mouth_Funnel_Up_L": "mouthFunnel", "Mouth_L": "mouthLeft",
                                   "Eye_L_Look_L": "eyeLookOutLeft", "Eye_R_Look_L": "eyeLookInRight"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_sets(name: str) -> None:
    names, label, expected = SETS[name]
    found = map_rig(["Basis", "BodyFat", *names])
    sources = {row.key: row.source for row in found.rows}
    assert label in found.label.split(" + ") and found.mouth
    assert {key: sources.get(key) for key in expected} == expected
    assert not {"Basis", "BodyFat", "viseme_sil", "sil_00", "Joy", "V_Open", "Jaw_Down"} & set(sources)


def test_arkit_needs_no_poses() -> None:
    """A head with both sets speaks by its channels; every source in the list exists."""
    found = map_rig([*CHANNELS, *("viseme_" + v for v in META)])
    assert [row.source for row in found.rows] == list(CHANNELS) and found.label == "ARKit" and not found.missing


def test_several_keys_for_a_channel() -> None:
    rows = map_rig(CC4).rows
    assert sorted(r.key for r in rows if r.source == "mouthFunnel") == sorted(n for n in CC4 if "Funnel" in n)


def test_what_is_missing() -> None:
    found = map_rig(["viseme_aa", "viseme_E", "viseme_I", "viseme_O", "viseme_U", "viseme_PP"])
    assert "FF" in found.missing and "aa" not in found.missing and "jawOpen" not in found.missing
    assert "mouthPucker" in map_rig(["jawOpen"]).missing


@pytest.mark.parametrize("names", [[], ["Key 1", "Key 2", "Smile big"], [f"key_{i:03}" for i in range(60)], ["A", "E", "Open"]])
def test_names_that_say_nothing(names: list[str]) -> None:
    found = map_rig(names)
    assert not found.mouth and not found.rows


def test_one_blink_key_serves_both_eyes() -> None:
    visemes = ["viseme_" + v for v in META]
    assert not any("link" in source for source in map_rig([*visemes, "eyesClosed"]).missing)
    assert not any("link" in source for source in map_rig([*visemes, "eyeBlinkLeft", "eyeBlinkRight"]).missing)
    assert any("link" in source for source in map_rig(visemes).missing)


def test_tables() -> None:
    for convention in (*CHANNEL_CONVENTIONS, *POSE_CONVENTIONS):
        for source, gain in convention.keys.values():
            assert source in POSES or source in INDEX
            assert gain > 0
    assert {source for source, _ in MICROSOFT.keys.values()} <= set(POSES)
    assert vector("jawOpen")[INDEX["jawOpen"]] == 1 and sum(vector("jawOpen")) == 1
    assert all(0 < max(vector(pose)) <= 1 and min(vector(pose)) == 0 for pose in POSES)
    assert map_rig(["jawOpen"]).rows == [Row("jawOpen", "jawOpen")]


def test_a_head_without_a_tongue_lacks_nothing() -> None:
    """As the keys that PTalker makes; where more is missing the tongue is told, too."""
    assert map_rig([c for c in CHANNELS if c != "tongueOut"]).missing == []
    assert map_rig([c for c in CHANNELS if c not in ("tongueOut", "jawLeft")]).missing == ["jawLeft", "tongueOut"]
