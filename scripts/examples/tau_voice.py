"""An agent of tau-voice (sierra-research/tau2-bench) that is a model in lockstep:

    adapter = WanstreamAdapter(["wanstream", "stream", "--lockstep", "--quiet"])
    agent = DiscreteTimeAudioNativeAgent(..., tick_duration_ms=160, adapter=adapter)

tau-voice speaks telephony (8 kHz, mu-law), the model 16 kHz; its own converter stands between. It calls
no tools, and takes the policy as its prompt only where `prompts` says that it was trained with prompts.
"""

from types import SimpleNamespace

from lockstep import UNIT_BYTES, Lockstep
from tau2.voice.audio_native.adapter import DiscreteTimeAdapter
from tau2.voice.audio_native.audio_converter import StreamingTelephonyConverter
from tau2.voice.audio_native.tick_result import TickResult


class WanstreamAdapter(DiscreteTimeAdapter):
    def __init__(self, command: list[str], prompts: bool = False):
        super().__init__(tick_duration_ms=160)
        self.command, self.prompts, self.model = command, prompts, None

    def connect(self, system_prompt, tools, vad_config=None, modality="audio"):
        self.disconnect()
        self.converter = StreamingTelephonyConverter(16000, 16000)
        self.model = Lockstep(self.command + ["--prompt", system_prompt] * self.prompts)

    def disconnect(self):
        if self.model:
            self.model.close()
        self.model = None

    @property
    def is_connected(self):
        return self.model is not None

    def run_tick(self, user_audio, tick_number=None):
        heard = self.converter.convert_input(user_audio)
        fields, said = self.model.run_tick(heard.rjust(UNIT_BYTES, b"\0"))
        said = self.converter.convert_output(said)
        return TickResult(
            tick_number=fields["unit"] + 1 if tick_number is None else tick_number,
            audio_sent_bytes=len(user_audio),
            audio_sent_duration_ms=self.tick_duration_ms,
            user_audio_data=user_audio,
            events=[SimpleNamespace(type="answer", **fields)],
            agent_audio_chunks=[(said, "agent")] if fields["active"] else [],
            proportional_transcript=fields["text"],
            cumulative_user_audio_at_tick_start_ms=fields["unit"] * self.tick_duration_ms,
            bytes_per_tick=self.bytes_per_tick,
            tick_sim_duration_ms=self.tick_duration_ms,
        )

    async def _execute_tick(self, user_audio, tick_number, result, tick_start):
        raise NotImplementedError("run_tick does it all")

    async def _flush_pending_tool_results(self):
        self._pending_tool_results.clear()
